#include "storage/job_store.h"

#include <unistd.h>

#include "base/files.h"
#include "tests/unit/storage/test_job.h"

namespace holdfast::storage {
namespace {

using JobStoreTest = JobTest;

TEST_F(JobStoreTest, WhatWasSavedIsRead) {
  Bytes memory = RandomBytes(3 * kExtentBytes + 12345, 1);
  std::fill_n(memory.begin() + kExtentBytes, kExtentBytes, std::byte{0});
  ASSERT_OK(SaveCheckpoint(*store_, 1, memory));
  const auto store = OpenStore();
  const auto manifest = store->ReadManifest(1);
  ASSERT_OK(manifest);
  EXPECT_EQ(manifest->parts.at(0).raw_bytes, memory.size() + strlen("checkpoint 1"));
  const auto reader = store->Read(*manifest, 0);
  ASSERT_OK(reader);
  EXPECT_EQ((*reader)->info().hostname, "h1");
  EXPECT_EQ((*reader)->images(), std::vector<std::string>{"inventory.img"});
  EXPECT_EQ(*(*reader)->ReadImage("inventory.img"), "checkpoint 1");
  EXPECT_CODE((*reader)->ReadImage("core.img"), Code::kNotFound);
  EXPECT_EQ(*LoadCheckpoint(*store, 1), memory);
}

TEST_F(JobStoreTest, ACheckpointWithoutManifestDoesNotExist) {
  ASSERT_OK(store_->Prepare());
  ASSERT_OK(WritePod(*store_, 1, 0, RandomBytes(1000, 1)));
  EXPECT_EQ(Good(), std::vector<uint32_t>{});
  EXPECT_CODE(store_->ReadManifest(1), Code::kNotFound);
}

TEST_F(JobStoreTest, ASecondCheckpointStoresOnlyWhatChanged) {
  // Incompressible memory, then runs of 256 KiB changed in 5% of it.
  Bytes memory = RandomBytes(100 * kExtentBytes, 1);
  const auto first = SaveCheckpoint(*store_, 1, memory);
  ASSERT_OK(first);
  EXPECT_GT(first->stored_bytes, memory.size());
  for (size_t i = 0; i < 5; ++i)
    std::ranges::copy(RandomBytes(kExtentBytes, 10 + i),
                      memory.begin() + static_cast<ptrdiff_t>(i * 19 * kExtentBytes));
  const auto second = SaveCheckpoint(*store_, 2, memory);
  ASSERT_OK(second);
  EXPECT_LT(second->stored_bytes, first->stored_bytes * 8 / 100);
  EXPECT_EQ(*LoadCheckpoint(*store_, 2), memory);
}

// Files are a part of their own, after the pods'.
TEST_F(JobStoreTest, FilesThatDidNotChangeAreKeptUnread) {
  ASSERT_OK(store_->Prepare());
  const Bytes data = RandomBytes(2 * kExtentBytes, 1);
  for (const uint32_t checkpoint : {1, 2, 3}) {
    const auto pod = WritePod(*store_, checkpoint, 0, RandomBytes(100, 9));
    ASSERT_OK(pod);
    const auto writer = store_->Write(checkpoint, 1, {});
    ASSERT_OK(writer);
    if (checkpoint == 1) {
      EXPECT_EQ((*writer)->PreviousImage("files.table"), std::nullopt);
      EXPECT_EQ((*writer)->KeepStream("file:/a").value(), false);
      const auto stream = (*writer)->AddStream("file:/a");
      ASSERT_OK(stream);
      for (const uint64_t offset : {size_t{0}, kExtentBytes})
        ASSERT_OK((*writer)->Put(*stream, 10 * kExtentBytes + offset,
                                 std::span(data).subspan(offset, kExtentBytes)));
    } else {
      EXPECT_EQ((*writer)->PreviousImage("files.table"), std::to_string(checkpoint - 1));
      EXPECT_EQ((*writer)->KeepStream("file:/a").value(), true);
      EXPECT_EQ((*writer)->KeepStream("file:/b").value(), false);
    }
    ASSERT_OK((*writer)->AddImage("files.table", std::to_string(checkpoint)));
    const auto files = (*writer)->Finish();
    ASSERT_OK(files);
    Manifest manifest = ManifestOf(checkpoint, {*pod});
    manifest.files = *files;
    ASSERT_OK(store_->Commit(manifest));
    ASSERT_OK(store_->Prune(1));
  }
  const auto manifest = store_->ReadManifest(3);
  ASSERT_OK(manifest);
  ASSERT_TRUE(manifest->files);
  EXPECT_LT(manifest->files->stored_bytes, kExtentBytes);
  ASSERT_OK(store_->Verify(*manifest, 2));
  const auto reader = store_->Read(*manifest, 1);
  ASSERT_OK(reader);
  ASSERT_EQ((*reader)->streams().size(), 1u);
  EXPECT_EQ((*reader)->streams()[0].size_bytes, 12 * kExtentBytes);
  Bytes read(data.size());
  ASSERT_OK((*reader)->Read(0, 10 * kExtentBytes, read));
  EXPECT_EQ(read, data);
  EXPECT_CODE(store_->Read(*manifest, 2), Code::kInvalid);
}

TEST_F(JobStoreTest, ScatteredPagesCostTheirBlocksNotTheirExtents) {
  Bytes memory = RandomBytes(100 * kExtentBytes, 1);
  const auto first = SaveCheckpoint(*store_, 1, memory);
  ASSERT_OK(first);
  std::mt19937_64 random(7);
  const size_t pages = memory.size() / 4096;
  for (size_t i = 0; i < pages / 20; ++i) memory[random() % pages * 4096] ^= std::byte{1};
  const auto second = SaveCheckpoint(*store_, 2, memory);
  ASSERT_OK(second);
  EXPECT_LT(second->stored_bytes, first->stored_bytes * 25 / 100);
  EXPECT_EQ(*LoadCheckpoint(*store_, 2), memory);
}

TEST_F(JobStoreTest, AManyTimesChangedExtentStaysReadable) {
  Bytes memory = RandomBytes(4 * kExtentBytes, 1);
  for (uint32_t checkpoint = 1; checkpoint <= 30; ++checkpoint) {
    memory[checkpoint * 37 % 64 * 16384] ^= std::byte{1};
    ASSERT_OK(SaveCheckpoint(*store_, checkpoint, memory));
    ASSERT_OK(store_->Prune(2));
    ASSERT_EQ(*LoadCheckpoint(*store_, checkpoint), memory) << checkpoint;
    if (checkpoint > 1) {
      ASSERT_OK(LoadCheckpoint(*store_, checkpoint - 1));
    }
  }
}

TEST_F(JobStoreTest, ContentThatMovedIsFoundAgain) {
  const Bytes memory = RandomBytes(40 * kExtentBytes, 1);
  ASSERT_OK(SaveCheckpoint(*store_, 1, memory));
  Bytes moved(memory.begin() + 3 * kExtentBytes, memory.end());
  const auto second = SaveCheckpoint(*store_, 2, moved);
  ASSERT_OK(second);
  EXPECT_LT(second->stored_bytes, 100'000u);
  EXPECT_EQ(*LoadCheckpoint(*store_, 2), moved);
}

TEST_F(JobStoreTest, EqualContentIsStoredOnce) {
  const Bytes piece = RandomBytes(kExtentBytes, 1);
  Bytes memory;
  for (int i = 0; i < 20; ++i) memory.insert(memory.end(), piece.begin(), piece.end());
  const auto saved = SaveCheckpoint(*store_, 1, memory);
  ASSERT_OK(saved);
  EXPECT_LT(saved->stored_bytes, 2 * kExtentBytes);
  EXPECT_EQ(*LoadCheckpoint(*store_, 1), memory);
}

TEST_F(JobStoreTest, DataInADamagedPackIsStoredAgain) {
  const Bytes memory = RandomBytes(10 * kExtentBytes, 1);
  ASSERT_OK(SaveCheckpoint(*store_, 1, memory));
  for (const std::string& key : Keys("packs/")) {
    Bytes contents = backend_->Get(key);
    contents.pop_back();
    backend_->Set(key, contents);
  }
  const auto second = SaveCheckpoint(*store_, 2, memory);
  ASSERT_OK(second);
  EXPECT_GT(second->stored_bytes, memory.size());
  EXPECT_EQ(*LoadCheckpoint(*store_, 2), memory);
}

TEST_F(JobStoreTest, WithoutAnIndexEverythingIsStoredAgain) {
  const Bytes memory = RandomBytes(4 * kExtentBytes, 1);
  ASSERT_OK(SaveCheckpoint(*store_, 1, memory));
  Bytes part = backend_->Get("parts/000001-0.h5");
  part[part.size() / 2] ^= std::byte{1};
  backend_->Set("parts/000001-0.h5", part);
  const auto second = SaveCheckpoint(*store_, 2, memory);
  ASSERT_OK(second);
  EXPECT_GT(second->stored_bytes, memory.size());
  EXPECT_EQ(*LoadCheckpoint(*store_, 2), memory);
}

TEST_F(JobStoreTest, NothingIsWrittenAtOrBelowTheNewest) {
  ASSERT_OK(SaveCheckpoint(*store_, 5, RandomBytes(1000, 1)));
  EXPECT_CODE(store_->Write(5, 0, {}), Code::kConflict);
  EXPECT_CODE(store_->Write(4, 1, {}), Code::kConflict);
  EXPECT_CODE(store_->Write(0, 0, {}), Code::kConflict);
  EXPECT_TRUE(store_->Write(6, 0, {}));
}

TEST_F(JobStoreTest, AnEarlierAttemptIsReplaced) {
  ASSERT_OK(store_->Prepare());
  ASSERT_OK(WritePod(*store_, 1, 0, RandomBytes(1000, 1)));
  ASSERT_OK(WritePod(*store_, 1, 1, RandomBytes(1000, 2)));
  const Bytes memory = RandomBytes(1000, 3);
  const auto again = WritePod(*store_, 1, 0, memory);
  ASSERT_OK(again);
  ASSERT_OK(store_->Commit(ManifestOf(1, {*again})));
  EXPECT_EQ(*LoadCheckpoint(*store_, 1), memory);
  EXPECT_EQ(Keys("parts/").size(), 2u) << "another pod's part must stay";
}

// Whoever swaps directories gains nothing.
TEST_F(JobStoreTest, AnotherUserJobOrClusterSeesNothingGood) {
  ASSERT_OK(SaveCheckpoint(*store_, 1, RandomBytes(1000, 1)));
  const auto open = [&](const JobName& job, uid_t uid) {
    return MakeJobStore(backend_, job, uid, kSiteKey);
  };
  JobName other_id = kJob, other_time = kJob, other_cluster = kJob;
  other_id.id = 17;
  other_time.submitted = "20270101T000000Z";
  other_cluster.cluster = "other";
  for (const auto& [store, code] : {std::pair{open(kJob, kUid + 1), Code::kDenied},
                                    std::pair{open(other_id, kUid), Code::kDenied},
                                    std::pair{open(other_time, kUid), Code::kDenied},
                                    std::pair{open(other_cluster, kUid), Code::kCorrupt},
                                    std::pair{open({.id = kJobId}, kUid), Code::kCorrupt}}) {
    const auto listing = store->List();
    ASSERT_OK(listing);
    EXPECT_TRUE(listing->good.empty());
    ASSERT_EQ(listing->bad.size(), 1u);
    EXPECT_EQ(listing->bad[0].second.code(), code) << listing->bad[0].second.message();
  }
}

TEST_F(JobStoreTest, OfADirectoryOnDisk) {
  char name[] = "/tmp/holdfast-store-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string directory = name;
  Identity self = CurrentIdentity();
  const Bytes memory = RandomBytes(2 * kExtentBytes, 1);
  {
    const auto store = JobStore::Open("file://" + directory, kJob, self, kSiteKey);
    ASSERT_OK(store);
    ASSERT_OK((*store)->List());
    ASSERT_OK((*store)->Prepare());
    const auto part = WritePod(**store, 1, 0, memory);
    ASSERT_OK(part);
    Manifest manifest = ManifestOf(1, {*part});
    manifest.uid = self.uid;
    ASSERT_OK((*store)->Commit(manifest));
    EXPECT_EQ(*LoadCheckpoint(**store, 1), memory);
    ASSERT_OK((*store)->Prune(0));
  }
  EXPECT_EQ(*ListDirectory(directory), std::vector<std::string>{});
  EXPECT_TRUE(RemoveTree(directory));
}

// Two clusters, and an id that started again, in one directory.
TEST_F(JobStoreTest, JobsWithOneIdAreKeptApart) {
  char name[] = "/tmp/holdfast-store-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string directory = name;
  const Identity self = CurrentIdentity();
  const JobName old{.id = kJobId}, later{"lab", kJobId, "20270101T000000Z"},
      other{"lab-1", kJobId, kJob.submitted}, longer{"lab", kJobId * 10, kJob.submitted};
  for (const JobName& job : {later, other, longer, old, kJob}) {
    const auto store = JobStore::Open(directory, job, self, kSiteKey);
    ASSERT_OK(store);
    ASSERT_OK((*store)->Prepare());
    const auto part = WritePod(**store, 1, 0, RandomBytes(1000, 1));
    ASSERT_OK(part);
    Manifest manifest = ManifestOf(1, {*part});
    manifest.uid = self.uid;
    manifest.job = job;
    ASSERT_OK((*store)->Commit(manifest));
  }
  EXPECT_EQ(*JobStore::JobsOf(directory, "lab", kJobId, self),
            (std::vector<JobName>{old, kJob, later}));
  EXPECT_EQ(*JobStore::JobsOf(directory, "lab-1", kJobId, self),
            (std::vector<JobName>{old, other}));
  EXPECT_EQ(*JobStore::JobsOf(directory, "lab", 1, self), std::vector<JobName>{});
  EXPECT_EQ(*JobStore::JobsOf(directory + "/none", "lab", kJobId, self), std::vector<JobName>{});
  ASSERT_OK((*JobStore::Open(directory, kJob, self, kSiteKey))->Prune(0));
  EXPECT_EQ(*JobStore::JobsOf(directory, "lab", kJobId, self), (std::vector<JobName>{old, later}));
  EXPECT_EQ((*JobStore::Open(directory, later, self, kSiteKey))->List()->good.size(), 1u);
  // As somebody would who wants to restore another's.
  ASSERT_EQ(::rename((directory + "/" + other.Directory()).c_str(),
                     (directory + "/" + kJob.Directory()).c_str()),
            0);
  const auto swapped = (*JobStore::Open(directory, kJob, self, kSiteKey))->List();
  ASSERT_OK(swapped);
  EXPECT_TRUE(swapped->good.empty());
  EXPECT_EQ(swapped->bad.size(), 1u);
  EXPECT_TRUE(RemoveTree(directory));
}

}  // namespace
}  // namespace holdfast::storage
