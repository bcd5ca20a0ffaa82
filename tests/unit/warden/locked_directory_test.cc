#include "warden/isolation/locked_directory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/files.h"

namespace holdfast::warden {
namespace {

constexpr auto kEver = std::chrono::steady_clock::time_point::max();

class LockedDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove_all(parent_); }
  void TearDown() override { std::filesystem::remove_all(parent_); }

  std::string Path(const char* name) const { return parent_ + "/" + name; }
  // A process that has one, with a file in it, and waits.
  pid_t Work(const char* name) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    const pid_t worker = ::fork();
    if (worker == 0) {
      const auto directory = LockedDirectory::Create(Path(name));
      const bool made = directory && WriteFile(Path(name) + "/pages-1.img", "memory");
      ::write(ready[1], made ? "y" : "n", 1);
      while (true) ::pause();
    }
    ::close(ready[1]);
    char answer = 0;
    EXPECT_EQ(::read(ready[0], &answer, 1), 1);
    EXPECT_EQ(answer, 'y');
    ::close(ready[0]);
    return worker;
  }
  static void Kill(pid_t worker) {
    ::kill(worker, SIGKILL);
    ::waitpid(worker, nullptr, 0);
  }

  const std::string parent_ =
      ::testing::TempDir() + "/locked_directory_test." + std::to_string(::getpid());
};

TEST_F(LockedDirectoryTest, GoesWithItsOwner) {
  {
    const auto directory = LockedDirectory::Create(Path("7-0"));
    ASSERT_TRUE(directory) << directory.error().message();
    struct stat info = {};
    ASSERT_EQ(::stat(Path("7-0").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0700U);
  }
  EXPECT_FALSE(FileExists(Path("7-0")));
}

TEST_F(LockedDirectoryTest, WhatAKilledWardenLeftIsRemovedByTheNext) {
  const pid_t killed = Work("7-0"), works = Work("8-0");
  Kill(killed);
  EXPECT_TRUE(FileExists(Path("7-0/pages-1.img")));
  // So had another one left this, which was killed while it removed it.
  ASSERT_TRUE(MakeDirectories(Path("6-0.going/a/b")));
  const Status removed = RemoveAbandoned(parent_, kEver);
  EXPECT_TRUE(removed) << removed.error().message();
  EXPECT_EQ(ListDirectory(parent_).value(), std::vector<std::string>{"8-0"});
  EXPECT_TRUE(FileExists(Path("8-0/pages-1.img")));
  Kill(works);
}

TEST_F(LockedDirectoryTest, WhatIsNoneIsLeftAlone) {
  for (const char* name : {"alice", "123", "data-1", "lost+found"})
    ASSERT_TRUE(MakeDirectories(Path(name)));
  const Status removed = RemoveAbandoned(parent_, kEver);
  EXPECT_TRUE(removed) << removed.error().message();
  EXPECT_EQ(ListDirectory(parent_).value().size(), 4U);
}

TEST_F(LockedDirectoryTest, WhatTakesLongIsLeftToTheNext) {
  Kill(Work("7-0"));
  const Status late = RemoveAbandoned(parent_, std::chrono::steady_clock::now());
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), Code::kTimeout);
  // Its name is free meanwhile.
  const auto again = LockedDirectory::Create(Path("7-0"));
  ASSERT_TRUE(again) << again.error().message();
  const Status removed = RemoveAbandoned(parent_, kEver);
  EXPECT_TRUE(removed) << removed.error().message();
  EXPECT_EQ(ListDirectory(parent_).value(), std::vector<std::string>{"7-0"});
}

}  // namespace
}  // namespace holdfast::warden
