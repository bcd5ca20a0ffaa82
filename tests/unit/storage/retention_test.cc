#include "storage/retention.h"

#include <atomic>
#include <thread>

#include "storage/layout.h"
#include "tests/unit/storage/test_job.h"

namespace holdfast::storage {
namespace {

class RetentionTest : public JobTest {
 protected:
  // Each checkpoint changes one of ten extents.
  void Save(uint32_t checkpoint) {
    std::ranges::copy(RandomBytes(kExtentBytes, checkpoint),
                      memory_.begin() + checkpoint % 10 * kExtentBytes);
    ASSERT_OK(SaveCheckpoint(*store_, checkpoint, memory_, {.threads = 1}));
    saved_.push_back(memory_);
  }
  void ExpectReadable(uint32_t checkpoint) {
    const auto loaded = LoadCheckpoint(*store_, checkpoint);
    ASSERT_OK(loaded);
    EXPECT_EQ(*loaded, saved_[checkpoint - 1]);
  }

  Bytes memory_ = RandomBytes(10 * kExtentBytes, 99);
  std::vector<Bytes> saved_;
};

TEST_F(RetentionTest, TheNewestStayAndAreReadable) {
  for (uint32_t checkpoint = 1; checkpoint <= 5; ++checkpoint) Save(checkpoint);
  ASSERT_OK(store_->Prune(2));
  EXPECT_EQ(Good(), (std::vector<uint32_t>{4, 5}));
  ExpectReadable(4);
  ExpectReadable(5);
  EXPECT_EQ(Keys("parts/"), (std::vector<std::string>{PartKey(4, 0), PartKey(5, 0)}));
  ASSERT_OK(store_->Prune(2));
  EXPECT_EQ(Good(), (std::vector<uint32_t>{4, 5}));
}

TEST_F(RetentionTest, TheUnwantedGoAndDoNotCount) {
  for (uint32_t checkpoint = 1; checkpoint <= 4; ++checkpoint) Save(checkpoint);
  ASSERT_OK(store_->Prune(1000, {}, {2}));
  EXPECT_EQ(Good(), (std::vector<uint32_t>{1, 3, 4}));
  ExpectReadable(3);
  ASSERT_OK(store_->Prune(2, {}, {3}));
  EXPECT_EQ(Good(), (std::vector<uint32_t>{1, 4}));
  ExpectReadable(1);
  ASSERT_OK(store_->Prune(2, {}, {4}));
  EXPECT_EQ(Good(), (std::vector<uint32_t>{1})) << "of a job that has ended";
  ExpectReadable(1);
}

TEST_F(RetentionTest, PacksGoWhenNoKeptManifestNamesThem) {
  Save(1);
  Save(2);
  for (size_t i = 0; i < 10; ++i)
    std::ranges::copy(RandomBytes(kExtentBytes, 1000 + i),
                      memory_.begin() + static_cast<ptrdiff_t>(i * kExtentBytes));
  Save(3);
  ASSERT_OK(store_->Prune(2));
  EXPECT_EQ(Keys("packs/"),
            (std::vector<std::string>{PackKey(1, 0, 0), PackKey(2, 0, 0), PackKey(3, 0, 0)}));
  ASSERT_OK(store_->Prune(1));
  EXPECT_EQ(Keys("packs/"), std::vector<std::string>{PackKey(3, 0, 0)});
  ExpectReadable(3);
}

TEST_F(RetentionTest, WhatIsOnItsWayStays) {
  Save(1);
  Save(2);
  const auto writer = store_->Write(3, 0, {});
  ASSERT_OK(writer);
  const auto stream = (*writer)->AddStream(kPages);
  ASSERT_OK(stream);
  memory_[0] ^= std::byte{1};
  ASSERT_OK(PutMemory(**writer, *stream, memory_));
  const auto other_pod = WritePod(*store_, 3, 1, memory_);
  ASSERT_OK(other_pod);
  ASSERT_OK(OpenStore()->Prune(1));
  const auto part = (*writer)->Finish();
  ASSERT_OK(part);
  ASSERT_OK(store_->Commit(ManifestOf(3, {*part, *other_pod})));
  EXPECT_EQ(*LoadCheckpoint(*store_, 3, 0), memory_);
  EXPECT_EQ(*LoadCheckpoint(*store_, 3, 1), memory_);
}

TEST_F(RetentionTest, DebrisOfOlderAttemptsGoes) {
  ASSERT_OK(store_->Prepare());
  ASSERT_OK(WritePod(*store_, 1, 0, memory_));
  ASSERT_OK(store_->Discard(2));
  ASSERT_OK(backend_->PutIfAbsent("notes.txt", {}));  // not ours
  saved_.resize(2);
  Save(3);
  ASSERT_OK(store_->Prune(5));
  EXPECT_EQ(Keys(), (std::vector<std::string>{ManifestKey(3), "notes.txt", PackKey(3, 0, 0),
                                              PartKey(3, 0)}));
}

TEST_F(RetentionTest, ADamagedCheckpointDoesNotCountAndGoesWhenANewerIsGood) {
  Save(1);
  Save(2);
  backend_->Set(ManifestKey(2), RandomBytes(3000, 1));
  ASSERT_OK(store_->Prune(1));
  EXPECT_EQ(Good(), std::vector<uint32_t>{1});
  ExpectReadable(1);
  EXPECT_EQ(Keys("manifest-").size(), 2u) << "above the newest good one nothing is touched";
  Save(3);
  ASSERT_OK(store_->Prune(2));
  EXPECT_EQ(Keys("manifest-"), (std::vector<std::string>{ManifestKey(1), ManifestKey(3)}));
}

TEST_F(RetentionTest, IfAKeptPartCannotBeReadNothingGoes) {
  for (uint32_t checkpoint = 1; checkpoint <= 3; ++checkpoint) Save(checkpoint);
  Bytes part = backend_->Get(PartKey(3, 0));
  part[1000] ^= std::byte{1};
  backend_->Set(PartKey(3, 0), part);
  const auto before = Keys();
  EXPECT_CODE(store_->Prune(1), Code::kCorrupt);
  EXPECT_EQ(Keys(), before);
}

TEST_F(RetentionTest, WithAnotherKeyNothingGoes) {
  Save(1);
  Save(2);
  const auto before = Keys();
  ASSERT_OK(MakeJobStore(backend_, kJob, kUid, SiteKey{})->Prune(1));
  EXPECT_EQ(Keys(), before);
}

TEST_F(RetentionTest, KeepingNoneRemovesAllOfOurs) {
  Save(1);
  ASSERT_OK(WritePod(*store_, 2, 0, memory_));
  ASSERT_OK(store_->Prune(0));
  EXPECT_EQ(Keys(), std::vector<std::string>{});
  ASSERT_OK(store_->Prune(0));
}

TEST_F(RetentionTest, SparedOnesStayWithWhatTheyNeed) {
  for (uint32_t checkpoint = 1; checkpoint <= 4; ++checkpoint) Save(checkpoint);
  const auto pruned = store_->Prune(1, {2, 77});
  ASSERT_OK(pruned);
  EXPECT_EQ(pruned->checkpoints, (std::vector<uint32_t>{1, 3}));
  EXPECT_GT(pruned->bytes, 0u);
  EXPECT_EQ(Good(), (std::vector<uint32_t>{2, 4}));
  ExpectReadable(2);
  ExpectReadable(4);
}

// Two that prune, the warden's and a person's say, beside one that saves.
TEST_F(RetentionTest, PruningBesideCheckpointsAndBesideAnotherPruning) {
  Save(1);
  std::atomic<bool> done = false;
  std::vector<std::jthread> pruners;
  for (int i = 0; i < 2; ++i)
    pruners.emplace_back([this, &done, store = OpenStore()] {
      while (!done) {
        const auto pruned = store->Prune(1);
        // What it was about to keep may have become old and gone: then it removes nothing.
        EXPECT_TRUE(pruned || pruned.error().code() == Code::kNotFound);
      }
    });
  for (uint32_t checkpoint = 2; checkpoint <= 40; ++checkpoint) {
    Save(checkpoint);
    ExpectReadable(checkpoint);
  }
  done = true;
  pruners.clear();
  ASSERT_OK(store_->Prune(1));
  EXPECT_EQ(Good(), std::vector<uint32_t>{40});
  ExpectReadable(40);
}

// A crash at any deletion leaves manifests that name only what is there.
TEST_F(RetentionTest, ACrashAtAnyDeletionLeavesReadableCheckpoints) {
  for (const uint32_t keep : {0u, 1u}) {
    for (size_t operation = 0;; ++operation) {
      backend_ = std::make_shared<MemoryBackend>();
      store_ = OpenStore();
      saved_.clear();
      for (uint32_t checkpoint = 1; checkpoint <= 3; ++checkpoint) Save(checkpoint);
      const size_t before = backend_->operations();
      backend_->CrashAt(before + operation, MemoryBackend::Crash::kBefore);
      const bool pruned = store_->Prune(keep).has_value();
      backend_->Restart();
      store_ = OpenStore();
      for (const uint32_t checkpoint : Good()) ExpectReadable(checkpoint);
      if (keep > 0) {
        EXPECT_EQ(Good().back(), 3u);
      }
      if (pruned) break;
    }
  }
}

}  // namespace
}  // namespace holdfast::storage
