#include "warden/checkpoint/work_directory.h"

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

class WorkDirectoryTest : public ::testing::Test {
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
      const auto directory = WorkDirectory::Create(Path(name), CurrentIdentity());
      const bool made = directory && OpenAt(directory->fd(), "pages-1.img", O_WRONLY | O_CREAT);
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
      ::testing::TempDir() + "/work_directory_test." + std::to_string(::getpid());
};

TEST_F(WorkDirectoryTest, GoesWithItsOwner) {
  {
    const auto directory = WorkDirectory::Create(Path("7-0"), CurrentIdentity());
    ASSERT_TRUE(directory) << directory.error().message();
    EXPECT_TRUE(std::filesystem::exists(Path("7-0/images")));
    struct stat info = {};
    ASSERT_EQ(::stat(Path("7-0").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0700U);
  }
  EXPECT_FALSE(std::filesystem::exists(Path("7-0")));
}

TEST_F(WorkDirectoryTest, WhatAKilledWardenLeftIsRemovedByTheNext) {
  const pid_t killed = Work("7-0"), works = Work("8-0");
  Kill(killed);
  EXPECT_TRUE(std::filesystem::exists(Path("7-0/images/pages-1.img")));
  const Status removed = RemoveAbandoned(parent_);
  EXPECT_TRUE(removed) << removed.error().message();
  EXPECT_FALSE(std::filesystem::exists(Path("7-0")));
  EXPECT_TRUE(std::filesystem::exists(Path("8-0/images/pages-1.img")));
  Kill(works);
}

}  // namespace
}  // namespace holdfast::warden
