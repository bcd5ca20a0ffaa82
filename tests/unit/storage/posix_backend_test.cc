#include "storage/posix/posix_backend.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/identity.h"
#include "tests/unit/storage/test_job.h"
#include "tests/unit/tiny_filesystem.h"

namespace holdfast::storage {
namespace {

class PosixBackendTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/holdfast-posix-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    job_ = directory_ + "/4242";
    backend_ = Open();
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(directory_)); }
  std::unique_ptr<Backend> Open(const Identity& owner = CurrentIdentity()) {
    return MakePosixBackend(directory_, "4242", owner);
  }
  Status Put() { return backend_->PutIfAbsent("packs/x", AsBytes("text")); }

  std::string directory_, job_;
  std::unique_ptr<Backend> backend_;
};

TEST_F(PosixBackendTest, OthersCannotLookIn) {
  ::umask(0);
  ASSERT_OK(backend_->Prepare());
  ASSERT_OK(Put());
  struct stat status{};
  for (const char* path : {"", "/packs"}) {
    ASSERT_EQ(::stat((job_ + path).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0700u);
  }
  ASSERT_EQ(::stat((job_ + "/packs/x").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST_F(PosixBackendTest, ADirectoryOpenToOthersIsMadePrivateOrRefused) {
  ASSERT_OK(MakeDirectories(job_, 0755));
  ASSERT_EQ(::chmod(job_.c_str(), 0750), 0);
  const auto put = Put();
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code(), Code::kDenied);
  EXPECT_NE(put.error().message().find("mode 0750"), std::string::npos);
  ASSERT_OK(backend_->Prepare());
  EXPECT_TRUE(Put());
}

TEST_F(PosixBackendTest, ALinkInPlaceOfTheJobsDirectoryIsNotFollowed) {
  ASSERT_OK(MakeDirectories(directory_ + "/elsewhere/packs", 0700));
  ASSERT_OK(WriteFile(directory_ + "/elsewhere/packs/y", "secret"));
  ASSERT_EQ(::symlink("elsewhere", job_.c_str()), 0);
  EXPECT_FALSE(backend_->Prepare());
  EXPECT_FALSE(Put());
  EXPECT_FALSE(backend_->Open("packs/y"));
  EXPECT_FALSE(backend_->List(""));
  EXPECT_FALSE(backend_->Delete("packs/y"));
  EXPECT_FALSE(backend_->RemoveIfEmpty());
  EXPECT_EQ(*ReadFile(directory_ + "/elsewhere/packs/y"), "secret");
}

TEST_F(PosixBackendTest, ALinkInPlaceOfASubdirectoryOrFileIsNotFollowed) {
  ASSERT_OK(backend_->Prepare());
  ASSERT_OK(MakeDirectories(directory_ + "/elsewhere", 0700));
  ASSERT_OK(WriteFile(directory_ + "/elsewhere/x", "secret"));
  ASSERT_EQ(::symlink("../elsewhere", (job_ + "/packs").c_str()), 0);
  ASSERT_EQ(::symlink("../elsewhere/x", (job_ + "/manifest").c_str()), 0);
  EXPECT_FALSE(Put());
  EXPECT_FALSE(backend_->Open("packs/x"));
  EXPECT_FALSE(backend_->Open("manifest"));
  EXPECT_CODE(backend_->PutIfAbsent("manifest", AsBytes("text")), Code::kConflict);
  EXPECT_TRUE(backend_->List("")->empty());
  EXPECT_EQ(*ReadFile(directory_ + "/elsewhere/x"), "secret");
}

TEST_F(PosixBackendTest, AFifoOrDirectoryIsNoObject) {
  ASSERT_OK(backend_->Prepare());
  ASSERT_EQ(::mkfifo((job_ + "/fifo").c_str(), 0600), 0);
  ASSERT_EQ(::mkdir((job_ + "/manifest").c_str(), 0700), 0);
  EXPECT_CODE(backend_->Open("fifo"), Code::kCorrupt);
  EXPECT_CODE(backend_->Open("manifest"), Code::kCorrupt);
}

TEST_F(PosixBackendTest, EverythingIsDoneAsTheOwner) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to take another user's identity";
  ASSERT_EQ(::chown(directory_.c_str(), 1234, 1234), 0);
  backend_ = Open({.uid = 1234, .gid = 1234, .groups = {}});
  ASSERT_OK(backend_->Prepare());
  ASSERT_OK(Put());
  struct stat status{};
  ASSERT_EQ(::stat((job_ + "/packs/x").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 1234u);
  EXPECT_EQ(status.st_gid, 1234u);
  // Root's own rights do not help: neither where the user may not write ...
  ASSERT_EQ(::chown(directory_.c_str(), 0, 0), 0);
  backend_ = MakePosixBackend(directory_, "4243", {.uid = 1234, .gid = 1234, .groups = {}});
  EXPECT_CODE(backend_->Prepare(), Code::kDenied);
  // ... nor in another user's directory.
  ASSERT_EQ(::chmod(directory_.c_str(), 0755), 0);
  backend_ = Open({.uid = 1235, .gid = 1235, .groups = {}});
  EXPECT_CODE(backend_->Open("packs/x"), Code::kDenied);
  EXPECT_CODE(Put(), Code::kDenied);
}

TEST_F(PosixBackendTest, AnotherUsersDirectoryIsRefusedEvenIfItCanBeEntered) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give a directory away";
  ASSERT_OK(backend_->Prepare());
  ASSERT_EQ(::chown(job_.c_str(), 1234, 1234), 0);
  const auto put = Put();  // as root, who can
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code(), Code::kDenied);
  EXPECT_NE(put.error().message().find("belongs to uid 1234"), std::string::npos);
}

TEST_F(PosixBackendTest, AFullFilesystemAbortsTheCheckpointAndKeepsTheOneBefore) {
  const TinyFilesystem filesystem(directory_);
  if (!filesystem.mounted()) GTEST_SKIP() << "cannot mount a tmpfs here";
  const Identity self = CurrentIdentity();
  const auto store = MakeJobStore(std::move(backend_), kJob, self.uid, kSiteKey);
  const auto commit = [&](uint32_t checkpoint, const PartSummary& part) {
    Manifest manifest = ManifestOf(checkpoint, {part});
    manifest.uid = self.uid;
    return store->Commit(manifest);
  };
  ASSERT_OK(store->Prepare());
  const Bytes small = RandomBytes(100'000, 1);
  const auto first = WritePod(*store, 1, 0, small);
  ASSERT_OK(first);
  ASSERT_OK(commit(1, *first));
  EXPECT_CODE(WritePod(*store, 2, 0, RandomBytes(16 << 20, 2)), Code::kNoSpace);
  ASSERT_OK(store->Discard(2));
  EXPECT_EQ(*ListDirectory(job_ + "/packs"), std::vector<std::string>{"000001-0-0.pack"});
  EXPECT_EQ(*ListDirectory(job_ + "/parts"), std::vector<std::string>{"000001-0.h5"});
  EXPECT_EQ(*LoadCheckpoint(*store, 1), small);
  const Bytes other = RandomBytes(100'000, 3);
  const auto third = WritePod(*store, 3, 0, other);
  ASSERT_OK(third);
  ASSERT_OK(commit(3, *third));
  EXPECT_EQ(*LoadCheckpoint(*store, 3), other);
  ASSERT_OK(store->Prune(0));
}

}  // namespace
}  // namespace holdfast::storage
