#include "warden/isolation/removal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/files.h"

namespace holdfast::warden {
namespace {

constexpr auto kEver = std::chrono::steady_clock::time_point::max();

class RemovalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(path_ + ".outside");
    ASSERT_TRUE(MakeDirectories(path_));
    ASSERT_TRUE(MakeDirectories(path_ + ".outside"));
    ASSERT_TRUE(WriteFile(path_ + ".outside/file", "stays"));
  }
  void TearDown() override { std::filesystem::remove_all(path_ + ".outside"); }

  void ExpectGone() {
    const Status removed = RemoveFilled(path_, kEver);
    EXPECT_TRUE(removed) << removed.error().message();
    EXPECT_FALSE(FileExists(path_));
    EXPECT_EQ(ReadFile(path_ + ".outside/file").value_or(""), "stays");
  }

  const std::string path_ = ::testing::TempDir() + "/removal_test." + std::to_string(::getpid());
};

TEST_F(RemovalTest, WhatIsNotThereIsRemoved) {
  ASSERT_EQ(::rmdir(path_.c_str()), 0);
  ExpectGone();
}

TEST_F(RemovalTest, KindsOfFilesAndLinksThatLeadOutside) {
  ASSERT_TRUE(MakeDirectories(path_ + "/a/b/c"));
  // Names that are given to directories on their way out.
  for (const char* name : {"/0", "/1", "/a/0", "/a/b/2", "/a/b/c/0"})
    ASSERT_TRUE(MakeDirectories(path_ + name + "/0/1"));
  ASSERT_TRUE(WriteFile(path_ + "/a/b/c/file", "x"));
  ASSERT_EQ(::mkfifo((path_ + "/a/pipe").c_str(), 0600), 0);
  ASSERT_EQ(::symlink((path_ + ".outside").c_str(), (path_ + "/a/link").c_str()), 0);
  ASSERT_EQ(::symlink((path_ + ".outside").c_str(), (path_ + "/link").c_str()), 0);
  ASSERT_EQ(::link((path_ + ".outside/file").c_str(), (path_ + "/a/same").c_str()), 0);
  ASSERT_EQ(::chmod((path_ + "/a").c_str(), ::geteuid() == 0 ? 0 : 0700), 0);
  ExpectGone();
}

TEST_F(RemovalTest, TheTreeItselfIsNoLink) {
  ASSERT_EQ(::rmdir(path_.c_str()), 0);
  ASSERT_EQ(::symlink((path_ + ".outside").c_str(), path_.c_str()), 0);
  EXPECT_FALSE(RemoveFilled(path_, kEver));
  EXPECT_TRUE(FileExists(path_ + ".outside/file"));
  ::unlink(path_.c_str());
}

// Deeper than a path can be long, and than descriptors are allowed.
TEST_F(RemovalTest, ADeepTree) {
  UniqueFd at(::open(path_.c_str(), O_RDONLY | O_DIRECTORY));
  for (int i = 0; i < 5000; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), "d", 0700), 0);
    ASSERT_TRUE(OpenAt(at, "f", O_CREAT | O_WRONLY));
    UniqueFd below(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(below.valid());
    at = std::move(below);
  }
  at.Reset();
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{.rlim_cur = 64, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  ExpectGone();
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST_F(RemovalTest, NoLongerThanItMayTake) {
  ASSERT_TRUE(MakeDirectories(path_ + "/a/b"));
  const Status removed = RemoveFilled(path_, std::chrono::steady_clock::now());
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code(), Code::kTimeout);
  ExpectGone();
}

}  // namespace
}  // namespace holdfast::warden
