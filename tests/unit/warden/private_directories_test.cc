// Whose directories become a pod's own: needs root.
#include "warden/isolation/private_directories.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"

namespace holdfast::warden {
namespace {

using ::testing::HasSubstr;

constexpr uid_t kUser = 65534;
constexpr auto kEver = std::chrono::steady_clock::time_point::max();

class PrivateDirectoriesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    char directory[] = "/var/tmp/holdfast-private-test-XXXXXX";
    ASSERT_NE(::mkdtemp(directory), nullptr);
    directory_ = directory;
    for (const char* name : {"/scratch", "/data", "/scratch/below"})
      ASSERT_TRUE(MakeDirectories(directory_ + name));
    // As sites have it.
    ASSERT_EQ(::chmod(Scratch().c_str(), 01777), 0);
  }
  void TearDown() override {
    if (!directory_.empty()) {
      EXPECT_TRUE(RemoveTree(directory_));
    }
  }

  std::string Scratch() const { return directory_ + "/scratch"; }
  std::string Place() const { return directory_ + "/place"; }
  Result<PrivateDirectories> Create(const std::vector<std::string>& paths) const {
    return PrivateDirectories::Create(Place(), "7-0-1", paths);
  }
  Error Refusal(const std::vector<std::string>& paths) const {
    const auto created = Create(paths);
    EXPECT_FALSE(created);
    return created ? Error(Code::kInternal, "") : created.error();
  }

  std::string directory_;
};

TEST_F(PrivateDirectoriesTest, AreEmptyAndOfNobodyElse) {
  auto created = Create({Scratch(), "/tmp"});
  ASSERT_TRUE(created) << created.error().message();
  ASSERT_EQ(created->list().size(), 2U);
  EXPECT_EQ(created->list()[0].path, Scratch());
  EXPECT_EQ(created->list()[1].path, "/tmp");
  struct stat info = {};
  ASSERT_EQ(::stat(created->list()[0].place.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 01777U);
  EXPECT_EQ(info.st_uid, 0U);
  ASSERT_EQ(::stat((Place() + "/7-0-1").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700U);
  ASSERT_TRUE(WriteFile(created->list()[0].place + "/left", "x"));
  EXPECT_TRUE(created->Remove(kEver));
  EXPECT_EQ(ListDirectory(Place()).value(), std::vector<std::string>{});
}

TEST_F(PrivateDirectoriesTest, NoneTakeNoPlace) {
  const auto created = Create({});
  ASSERT_TRUE(created);
  EXPECT_TRUE(created->list().empty());
  EXPECT_FALSE(FileExists(Place()));
}

TEST_F(PrivateDirectoriesTest, ALinkOfRootsIsFollowedOnce) {
  ASSERT_EQ(::symlink(Scratch().c_str(), (directory_ + "/link").c_str()), 0);
  const auto created = Create({directory_ + "/link", Scratch()});
  ASSERT_TRUE(created) << created.error().message();
  ASSERT_EQ(created->list().size(), 1U);
  EXPECT_EQ(created->list()[0].path, Scratch());
}

TEST_F(PrivateDirectoriesTest, AreWhereOnlyRootDecidesWhatIsThere) {
  // The user of the node could have had a link to /etc there.
  const std::string users = Scratch() + "/users";
  ASSERT_TRUE(MakeDirectories(users + "/own"));
  ASSERT_EQ(::chown(users.c_str(), kUser, kUser), 0);
  EXPECT_EQ(Refusal({users}).code(), Code::kDenied);
  EXPECT_EQ(Refusal({users + "/own"}).code(), Code::kDenied);
  ASSERT_EQ(::symlink("/etc", (users + "/link").c_str()), 0);
  ASSERT_EQ(::chmod(Scratch().c_str(), 0777), 0);
  EXPECT_TRUE(Create({Scratch()}));
  EXPECT_EQ(Refusal({Scratch() + "/below"}).code(), Code::kDenied);
}

TEST_F(PrivateDirectoriesTest, AreNotWithinEachOtherOrWhatAPodNeeds) {
  EXPECT_THAT(Refusal({Scratch(), Scratch() + "/below"}).message(), HasSubstr("in the other"));
  EXPECT_TRUE(Create({Scratch(), directory_ + "/data"}));
  for (const char* path : {"/", "/dev", "/dev/shm", "/run", "/proc"})
    EXPECT_EQ(Refusal({path}).code(), Code::kInvalid) << path;
  const Error missing = Refusal({directory_ + "/missing"});
  EXPECT_THAT(missing.message(), HasSubstr("node.private_directories: " + directory_ + "/missing"));
}

TEST_F(PrivateDirectoriesTest, ThePlaceIsRoots) {
  ASSERT_TRUE(MakeDirectories(Place()));
  ASSERT_EQ(::chmod(Place().c_str(), 01777), 0);
  EXPECT_THAT(Refusal({Scratch()}).message(), HasSubstr("node.private_place"));
  ASSERT_EQ(::chmod(Place().c_str(), 0755), 0);
  ASSERT_EQ(::chown(Place().c_str(), kUser, kUser), 0);
  EXPECT_EQ(Refusal({Scratch()}).code(), Code::kDenied);
  ASSERT_TRUE(MakeDirectories(Place() + "/1-0-0/file"));
  EXPECT_FALSE(PrivateDirectories::RemoveAbandoned(Place(), kEver));
  EXPECT_TRUE(FileExists(Place() + "/1-0-0/file"));
  ASSERT_EQ(::chown(Place().c_str(), 0, 0), 0);
  EXPECT_TRUE(PrivateDirectories::RemoveAbandoned(Place(), kEver));
  EXPECT_FALSE(FileExists(Place() + "/1-0-0"));
}

}  // namespace
}  // namespace holdfast::warden
