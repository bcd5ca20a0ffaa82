#include "base/identity.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <latch>
#include <thread>

#include "base/files.h"

namespace holdfast {
namespace {

TEST(Identity, OfThisProcessIsWhatTheKernelSays) {
  const auto own = IdentityOfProcess(::getpid());
  ASSERT_TRUE(own);
  EXPECT_EQ(own->uid, ::geteuid());
  EXPECT_EQ(own->gid, ::getegid());
}

TEST(Identity, OfAUserIsWhatTheUserDatabaseSays) {
  const auto root = IdentityOfUser(0);
  ASSERT_TRUE(root);
  EXPECT_EQ(root->uid, 0u);
  EXPECT_EQ(root->gid, 0u);
  EXPECT_EQ(root->groups, std::vector<gid_t>{0});
  const auto nobody = IdentityOfUser(987'654'321);
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code(), Code::kNotFound);
}

TEST(ScopedIdentity, FilesAreTheUsersAndOnlyInThisThread) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  char name[] = "/tmp/holdfast-identity-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string directory = name;
  ASSERT_EQ(::chmod(name, 0777), 0);
  ASSERT_TRUE(WriteFile(directory + "/roots", "secret", 0600));
  std::latch switched(1);
  std::thread other([&] {  // started before: a thread started under the guard would inherit it
    switched.wait();
    EXPECT_TRUE(ReadFile(directory + "/roots"));
  });
  {
    const ScopedIdentity user({.uid = 1234, .gid = 2345, .groups = {}});
    EXPECT_FALSE(ReadFile(directory + "/roots"));
    ASSERT_TRUE(WriteFile(directory + "/users", "x"));
    switched.count_down();
    other.join();
  }
  EXPECT_TRUE(ReadFile(directory + "/roots"));
  struct stat info = {};
  ASSERT_EQ(::stat((directory + "/users").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 1234u);
  EXPECT_EQ(info.st_gid, 2345u);
  EXPECT_TRUE(RemoveTree(directory));
}

TEST(ScopedIdentity, NestedPutsBackTheOuterOne) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  char name[] = "/tmp/holdfast-identity-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string directory = name;
  ASSERT_EQ(::chmod(name, 0777), 0);
  ASSERT_TRUE(WriteFile(directory + "/roots", "secret", 0600));
  {
    const ScopedIdentity user({.uid = 1234, .gid = 2345, .groups = {}});
    {
      const ScopedIdentity other({.uid = 1235, .gid = 2345, .groups = {}});
    }
    EXPECT_FALSE(ReadFile(directory + "/roots"));
    ASSERT_TRUE(WriteFile(directory + "/users", "x"));
  }
  EXPECT_TRUE(ReadFile(directory + "/roots"));
  struct stat info = {};
  ASSERT_EQ(::stat((directory + "/users").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 1234u);
  EXPECT_EQ(info.st_gid, 2345u);
  EXPECT_TRUE(RemoveTree(directory));
}

}  // namespace
}  // namespace holdfast
