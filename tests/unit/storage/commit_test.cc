#include "storage/commit.h"

#include "storage/layout.h"
#include "tests/unit/storage/test_job.h"

namespace holdfast::storage {
namespace {

using CommitTest = JobTest;

TEST_F(CommitTest, TheSameNumberIsCommittedOnce) {
  const auto part = SaveCheckpoint(*store_, 1, RandomBytes(1000, 1));
  ASSERT_OK(part);
  EXPECT_CODE(store_->Commit(ManifestOf(1, {*part})), Code::kConflict);
}

TEST_F(CommitTest, NumbersOnlyGrow) {
  ASSERT_OK(store_->Prepare());
  const auto older = WritePod(*store_, 1, 0, RandomBytes(1000, 1));
  ASSERT_OK(older);
  ASSERT_OK(SaveCheckpoint(*store_, 2, RandomBytes(1000, 2)));
  EXPECT_CODE(store_->Commit(ManifestOf(1, {*older})), Code::kConflict);
  EXPECT_EQ(Good(), std::vector<uint32_t>{2});
}

TEST_F(CommitTest, AMissingPartIsNotCommitted) {
  ASSERT_OK(store_->Prepare());
  const auto part = WritePod(*store_, 1, 0, RandomBytes(1000, 1));
  ASSERT_OK(part);
  ASSERT_OK(backend_->Delete(part->name));
  EXPECT_CODE(store_->Commit(ManifestOf(1, {*part})), Code::kCorrupt);
  EXPECT_EQ(Good(), std::vector<uint32_t>{});
}

TEST_F(CommitTest, AnotherJobsManifestIsNotCommitted) {
  ASSERT_OK(store_->Prepare());
  const auto part = WritePod(*store_, 1, 0, RandomBytes(1000, 1));
  ASSERT_OK(part);
  Manifest manifest = ManifestOf(1, {*part});
  manifest.job.id = kJobId + 1;
  EXPECT_CODE(store_->Commit(manifest), Code::kInvalid);
  manifest = ManifestOf(1, {*part});
  manifest.uid = 0;
  EXPECT_CODE(store_->Commit(manifest), Code::kInvalid);
}

TEST_F(CommitTest, DamagedCheckpointsAreListedAsBadWithTheReason) {
  for (uint32_t checkpoint = 1; checkpoint <= 4; ++checkpoint)
    ASSERT_OK(SaveCheckpoint(*store_, checkpoint, RandomBytes(1000, checkpoint)));
  Bytes flipped = backend_->Get(ManifestKey(2));
  flipped[2000] ^= std::byte{1};
  backend_->Set(ManifestKey(2), flipped);
  backend_->Set(ManifestKey(3), backend_->Get(ManifestKey(1)));  // replayed
  ASSERT_OK(backend_->Delete(PartKey(4, 0)));
  const auto listing = store_->List();
  ASSERT_OK(listing);
  ASSERT_EQ(listing->good.size(), 1u);
  EXPECT_EQ(listing->good[0].checkpoint, 1u);
  ASSERT_EQ(listing->bad.size(), 3u);
  EXPECT_EQ(listing->bad[0].first, 2u);
  EXPECT_EQ(listing->bad[0].second.code(), Code::kCorrupt);
  EXPECT_EQ(listing->bad[1].first, 3u);
  EXPECT_EQ(listing->bad[1].second.code(), Code::kDenied);
  EXPECT_EQ(listing->bad[2].first, 4u);
  EXPECT_NE(listing->bad[2].second.message().find(PartKey(4, 0)), std::string::npos);
}

TEST_F(CommitTest, ADiscardedCheckpointIsGoneAndCannotBeCommitted) {
  ASSERT_OK(SaveCheckpoint(*store_, 1, RandomBytes(1000, 1)));
  const auto part = WritePod(*store_, 2, 0, RandomBytes(1000, 2));
  ASSERT_OK(part);
  ASSERT_OK(store_->Discard(2));
  EXPECT_CODE(store_->Commit(ManifestOf(2, {*part})), Code::kCorrupt);
  // Nor by somebody who checked the parts just before.
  EXPECT_CODE(backend_->PutIfAbsent(ManifestKey(2), RandomBytes(10, 1)), Code::kConflict);
  EXPECT_EQ(Keys("packs/").size(), 1u);
  EXPECT_EQ(Keys("parts/").size(), 1u);
  const auto listing = store_->List();
  ASSERT_OK(listing);
  EXPECT_EQ(listing->good.size(), 1u);
  EXPECT_TRUE(listing->bad.empty());
  EXPECT_CODE(store_->ReadManifest(2), Code::kNotFound);
  ASSERT_OK(store_->Discard(2));
  ASSERT_OK(SaveCheckpoint(*store_, 3, RandomBytes(1000, 3)));
}

TEST_F(CommitTest, ACommittedCheckpointIsNeverDiscarded) {
  const Bytes memory = RandomBytes(1000, 1);
  ASSERT_OK(SaveCheckpoint(*store_, 1, memory));
  EXPECT_CODE(store_->Discard(1), Code::kConflict);
  EXPECT_EQ(*LoadCheckpoint(*store_, 1), memory);
}

// The process dies before or after each operation of writing and committing checkpoint 2. Whatever
// is found afterwards, it is checkpoint 1, or 1 and 2, all of them readable; and the job can go on.
TEST_F(CommitTest, ACrashAtAnyOperationLeavesTheOldOrTheNew) {
  const Bytes first = RandomBytes(3 * kExtentBytes, 1);
  Bytes second = first;
  std::ranges::copy(RandomBytes(kExtentBytes, 2), second.begin());
  std::ranges::copy(RandomBytes(kExtentBytes, 3), second.begin() + kExtentBytes);
  size_t crashes = 0, old = 0;
  for (const auto crash : {MemoryBackend::Crash::kBefore, MemoryBackend::Crash::kAfter}) {
    for (size_t operation = 0;; ++operation) {
      backend_ = std::make_shared<MemoryBackend>();
      store_ = OpenStore();
      ASSERT_OK(SaveCheckpoint(*store_, 1, first));
      const size_t before = backend_->operations();
      backend_->CrashAt(before + operation, crash);
      const bool saved = SaveCheckpoint(*store_, 2, second).has_value();
      const bool reached = backend_->operations() > before + operation;
      backend_->Restart();
      store_ = OpenStore();
      if (!reached) {
        ASSERT_TRUE(saved);
        break;
      }
      ++crashes;
      const auto good = Good();
      ASSERT_TRUE(good == std::vector<uint32_t>{1} || good == (std::vector<uint32_t>{1, 2}));
      ASSERT_TRUE(!saved || good.size() == 2) << "success was reported, then forgotten";
      if (good.size() == 1) ++old;
      ASSERT_EQ(*LoadCheckpoint(*store_, 1), first);
      if (good.size() == 2) {
        ASSERT_EQ(*LoadCheckpoint(*store_, 2), second);
      }
      // Life goes on: the next checkpoint works and takes the debris with it.
      ASSERT_OK(SaveCheckpoint(*store_, 3, second));
      ASSERT_OK(store_->Prune(1));
      ASSERT_EQ(*LoadCheckpoint(*store_, 3), second);
      for (const std::string& key : Keys()) {
        const auto name = ParseKey(key);
        ASSERT_TRUE(name) << key;
        ASSERT_FALSE(name->unfinished) << key;
      }
    }
  }
  EXPECT_GT(crashes, 20u);
  EXPECT_GT(old, 15u);
}

}  // namespace
}  // namespace holdfast::storage
