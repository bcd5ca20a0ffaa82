#include "storage/pod_writer.h"

#include <atomic>
#include <thread>

#include "tests/unit/storage/test_job.h"

namespace holdfast::storage {
namespace {

class PodWriterTest : public JobTest {
 protected:
  void SetUp() override { ASSERT_OK(store_->Prepare()); }
  std::unique_ptr<PodWriter> Writer(const WriteOptions& options = {}) {
    auto writer = store_->Write(1, 0, options);
    EXPECT_TRUE(writer);
    return std::move(*writer);
  }
};

TEST_F(PodWriterTest, DroppedItLeavesNothing) {
  {
    const auto writer = Writer();
    const auto stream = writer->AddStream(kPages);
    ASSERT_OK(stream);
    ASSERT_OK(PutMemory(*writer, *stream, RandomBytes(5 * kExtentBytes, 1)));
    EXPECT_FALSE(Keys("packs/").empty());
  }
  EXPECT_EQ(Keys(), std::vector<std::string>{});
}

TEST_F(PodWriterTest, AFullDiskIsReportedByEveryLaterCallAndLeavesNothing) {
  backend_->SetCapacity(1 << 20);
  {
    const auto writer = Writer();
    const auto stream = writer->AddStream(kPages);
    ASSERT_OK(stream);
    EXPECT_CODE(PutMemory(*writer, *stream, RandomBytes(8 * kExtentBytes, 1)), Code::kNoSpace);
    EXPECT_CODE(writer->Put(*stream, 1 << 30, RandomBytes(10, 2)), Code::kNoSpace);
    EXPECT_CODE(writer->Finish(), Code::kNoSpace);
  }
  EXPECT_EQ(Keys(), std::vector<std::string>{});
  EXPECT_EQ(backend_->used_bytes(), 0u);
}

// Whatever operation fails, the error comes out and nothing stays behind.
TEST_F(PodWriterTest, AnyFailureIsReportedAndLeavesNothing) {
  const Bytes memory = RandomBytes(3 * kExtentBytes, 1);
  size_t failures = 0;
  for (size_t operation = 0;; ++operation) {
    const size_t first = backend_->operations();
    backend_->FailAt(first + operation, Error(Code::kUnavailable, "as asked"));
    const auto part = WritePod(*store_, 1, 0, memory);
    const bool reached = backend_->operations() > first + operation;
    backend_->Restart();
    if (!reached) break;
    ++failures;
    EXPECT_CODE(part, Code::kUnavailable);
    EXPECT_EQ(Keys(), std::vector<std::string>{}) << operation;
  }
  EXPECT_GT(failures, 10u);
}

TEST_F(PodWriterTest, ManyThreadsWithALittleMemory) {
  const WriteOptions options{.threads = 8, .memory_budget_bytes = 1, .compression_level = 1};
  constexpr size_t kThreads = 8;
  Bytes memory = RandomBytes(64 * kExtentBytes, 1);
  // Some of it compressible, some zero, some the same.
  std::fill_n(memory.begin(), 8 * kExtentBytes, std::byte{'x'});
  std::fill_n(memory.begin() + 8 * kExtentBytes, 8 * kExtentBytes, std::byte{0});
  {
    const auto writer = Writer(options);
    const auto stream = writer->AddStream(kPages);
    ASSERT_OK(stream);
    std::atomic<size_t> next = 0;
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < kThreads; ++i)
      threads.emplace_back([&] {
        for (size_t piece = next++; piece < 64; piece = next++) {
          const size_t offset = piece * kExtentBytes;
          EXPECT_TRUE(writer->Put(*stream, offset, std::span(memory).subspan(offset, kExtentBytes),
                                  kAddress + offset, 1001));
        }
      });
    threads.clear();
    const auto part = writer->Finish();
    ASSERT_OK(part);
    EXPECT_EQ(part->raw_bytes, memory.size());
    ASSERT_OK(store_->Commit(ManifestOf(1, {*part})));
  }
  EXPECT_EQ(*LoadCheckpoint(*store_, 1), memory);
}

TEST_F(PodWriterTest, CompressibleDataIsCompressedAndZerosAreNotStored) {
  Bytes memory(32 * kExtentBytes);
  for (size_t i = 0; i < memory.size() / 2; ++i) memory[i] = static_cast<std::byte>(i / 1000);
  const auto part = WritePod(*store_, 1, 0, memory);
  ASSERT_OK(part);
  EXPECT_LT(part->stored_bytes, memory.size() / 20);
  const auto raw = WritePod(*store_, 1, 1, memory, {.compression_level = 0});
  ASSERT_OK(raw);
  EXPECT_GT(raw->stored_bytes, memory.size() / 2 - kExtentBytes);
  EXPECT_LT(raw->stored_bytes, memory.size() / 2 + kExtentBytes);
  ASSERT_OK(store_->Commit(ManifestOf(1, {*part, *raw})));
  EXPECT_EQ(*LoadCheckpoint(*store_, 1, 0), memory);
  EXPECT_EQ(*LoadCheckpoint(*store_, 1, 1), memory);
}

TEST_F(PodWriterTest, WhatWasNeverPutIsZero) {
  const auto writer = Writer();
  const auto stream = writer->AddStream("sparse");
  ASSERT_OK(stream);
  const Bytes piece = RandomBytes(100, 1);
  ASSERT_OK(writer->Put(*stream, 1'000'000, piece));
  ASSERT_OK(writer->SetSize(*stream, 2'000'000));
  ASSERT_OK(writer->SetSize(*stream, 10));  // it is longer already
  const auto part = writer->Finish();
  ASSERT_OK(part);
  ASSERT_OK(store_->Commit(ManifestOf(1, {*part})));
  Bytes expected(2'000'000);
  std::ranges::copy(piece, expected.begin() + 1'000'000);
  EXPECT_EQ(*LoadCheckpoint(*store_, 1), expected);
}

TEST_F(PodWriterTest, WrongArgumentsAreRefused) {
  const auto writer = Writer();
  const auto stream = writer->AddStream(kPages);
  ASSERT_OK(stream);
  EXPECT_CODE(writer->Put(*stream + 1, 0, Bytes(10)), Code::kInvalid);
  EXPECT_CODE(writer->Put(*stream, 0, Bytes(kExtentBytes + 1)), Code::kInvalid);
  EXPECT_CODE(writer->Put(*stream, ~0ULL - 5, Bytes(10)), Code::kInvalid);
  EXPECT_CODE(writer->SetSize(*stream + 1, 1), Code::kInvalid);
  EXPECT_CODE(writer->AddImage("", "x"), Code::kInvalid);
  EXPECT_CODE(writer->AddImage("a/b", "x"), Code::kInvalid);
  ASSERT_OK(writer->AddImage("a", "x"));
  EXPECT_CODE(writer->AddImage("a", "y"), Code::kConflict);
  ASSERT_OK(writer->Put(*stream, 0, RandomBytes(10, 1)));
  ASSERT_OK(writer->Put(*stream, 9, RandomBytes(10, 2)));
  EXPECT_FALSE(writer->Finish()) << "the two overlap";
}

// What is stored ahead is found again, also block by block, and what changed since is waste.
TEST_F(PodWriterTest, StoredAheadOnlyTheRestIsStoredAgain) {
  Bytes memory = RandomBytes(8 * kExtentBytes, 1);
  const auto writer = Writer();
  const auto early = writer->AddStream("ahead");
  ASSERT_OK(early);
  ASSERT_OK(PutMemory(*writer, *early, memory));
  ASSERT_OK(writer->Flush());
  const size_t packs = Keys("packs/").size();
  EXPECT_GT(packs, 0u);
  ASSERT_OK(writer->BeginAgain());
  memory[3 * kExtentBytes + 5] ^= std::byte{1};
  const auto stream = writer->AddStream(kPages);
  ASSERT_OK(stream);
  ASSERT_OK(PutMemory(*writer, *stream, memory));
  writer->SetInfo({.node = "n1", .hostname = "h1", .owner = {.uid = kUid}, .processes = 1});
  const auto part = writer->Finish();
  ASSERT_OK(part);
  EXPECT_EQ(part->raw_bytes, memory.size());
  EXPECT_EQ(Keys("packs/").size(), packs + 1);
  EXPECT_EQ(writer->precopied().stored_bytes, 8 * kExtentBytes);
  // One blob of the changed extent is still needed, for its other blocks.
  EXPECT_EQ(writer->precopied().wasted_bytes, 0u);
  EXPECT_LT(part->stored_bytes, 8 * kExtentBytes + 10 * kBlockBytes);
  ASSERT_OK(store_->Commit(ManifestOf(1, {*part})));
  const auto loaded = LoadCheckpoint(*store_, 1);
  ASSERT_OK(loaded);
  EXPECT_EQ(*loaded, memory);
}

TEST_F(PodWriterTest, WhatWasStoredAheadForNothingGoes) {
  const auto before = SaveCheckpoint(*store_, 1, RandomBytes(4 * kExtentBytes, 1));
  ASSERT_OK(before);
  const size_t packs = Keys("packs/").size();
  {
    auto writer = store_->Write(2, 0, {});
    ASSERT_OK(writer);
    const auto early = (*writer)->AddStream("ahead");
    ASSERT_OK(early);
    ASSERT_OK(PutMemory(**writer, *early, RandomBytes(4 * kExtentBytes, 2)));
    ASSERT_OK((*writer)->Flush());
    ASSERT_OK((*writer)->BeginAgain());
    // Back to what it was: found in the checkpoint before, as if nothing had been put in between.
    const auto stream = (*writer)->AddStream(kPages);
    ASSERT_OK(stream);
    ASSERT_OK(PutMemory(**writer, *stream, RandomBytes(4 * kExtentBytes, 1)));
    const auto part = (*writer)->Finish();
    ASSERT_OK(part);
    EXPECT_EQ((*writer)->precopied().wasted_bytes, 4 * kExtentBytes);
    ASSERT_OK(store_->Commit(ManifestOf(2, {*part})));
  }
  EXPECT_EQ(Keys("packs/").size(), packs);
  const auto loaded = LoadCheckpoint(*store_, 2);
  ASSERT_OK(loaded);
  EXPECT_EQ(*loaded, RandomBytes(4 * kExtentBytes, 1));
}

// As when a notice cuts it short: nothing has been flushed, and half of the memory not been read.
TEST_F(PodWriterTest, StoringAheadMayStopAtAnyTime) {
  const Bytes memory = RandomBytes(8 * kExtentBytes, 1);
  {
    const auto writer = Writer();
    const auto early = writer->AddStream("ahead");
    ASSERT_OK(early);
    ASSERT_OK(PutMemory(*writer, *early, std::span(memory).first(4 * kExtentBytes)));
    ASSERT_OK(writer->BeginAgain());
    const auto stream = writer->AddStream(kPages);
    ASSERT_OK(stream);
    ASSERT_OK(PutMemory(*writer, *stream, memory));
    const auto part = writer->Finish();
    ASSERT_OK(part);
    EXPECT_EQ(writer->precopied().wasted_bytes, 0u);
    ASSERT_OK(store_->Commit(ManifestOf(1, {*part})));
  }
  const auto loaded = LoadCheckpoint(*store_, 1);
  ASSERT_OK(loaded);
  EXPECT_EQ(*loaded, memory);
  {
    auto writer = store_->Write(2, 0, {});
    ASSERT_OK(writer);
    const auto early = (*writer)->AddStream("ahead");
    ASSERT_OK(early);
    ASSERT_OK(PutMemory(**writer, *early, RandomBytes(4 * kExtentBytes, 2)));
    ASSERT_OK((*writer)->BeginAgain());
  }
  EXPECT_EQ(Keys("packs/000002"), std::vector<std::string>{});
}

// ---- memory of which some is known not to have been written ----

class PutRestTest : public PodWriterTest {
 protected:
  // The next checkpoint, of `memory_`, of which `kept` says for each extent what is as it was.
  // Returns how much of it was read.
  Result<size_t> SaveRest(const std::vector<BlockSet>& kept, bool verify = false,
                          uint32_t pid = 1001) {
    HOLDFAST_TRY(const auto writer, store_->Write(++checkpoint_, 0, {}));
    EXPECT_EQ(writer->compared_checkpoint(), checkpoint_ - 1);
    HOLDFAST_TRY(const uint32_t stream, writer->AddStream(kPages));
    size_t read_bytes = 0;
    for (size_t i = 0; i * kExtentBytes < memory_.size(); ++i) {
      const size_t offset = i * kExtentBytes;
      const auto now = std::span(memory_).subspan(offset);
      // What is not read must not matter.
      Bytes buffer = RandomBytes(std::min(kExtentBytes, now.size()), 99);
      const auto read = [&](size_t begin, size_t end) -> Status {
        std::ranges::copy(now.subspan(begin, end - begin),
                          buffer.begin() + static_cast<ssize_t>(begin));
        read_bytes += end - begin;
        return {};
      };
      HOLDFAST_CHECK(writer->PutRest(stream, offset, buffer,
                                     {.blocks = kept[i], .verify = verify, .read = read},
                                     kAddress + offset, pid));
    }
    writer->SetInfo({.node = "n1", .hostname = "h1", .owner = {.uid = kUid}, .processes = 1});
    HOLDFAST_TRY(const auto part, writer->Finish());
    HOLDFAST_CHECK(store_->Commit(ManifestOf(checkpoint_, {part})));
    const auto loaded = LoadCheckpoint(*store_, checkpoint_);
    EXPECT_TRUE(loaded && *loaded == memory_);
    return read_bytes;
  }
  void SaveAll() { ASSERT_OK(SaveCheckpoint(*store_, ++checkpoint_, memory_)); }
  void Change(size_t block) { memory_[block * kBlockBytes + 7] ^= std::byte{1}; }

  static BlockSet AllBut(std::initializer_list<size_t> blocks) {
    BlockSet set;
    set.set();
    for (const size_t block : blocks) set.reset(block);
    return set;
  }

  Bytes memory_ = RandomBytes(3 * kExtentBytes, 1);
  uint32_t checkpoint_ = 0;
};

TEST_F(PutRestTest, OnlyTheRestIsRead) {
  SaveAll();
  Change(kBlocksPerExtent + 3);
  const auto read = SaveRest({AllBut({}), AllBut({3, 4, 9}), AllBut({})});
  ASSERT_OK(read);
  EXPECT_EQ(*read, 3 * kBlockBytes);
}

TEST_F(PutRestTest, WhatIsNotThereIsRead) {
  // Another process had it; or there was no checkpoint at all.
  ASSERT_OK(SaveRest({AllBut({}), AllBut({}), AllBut({})}));
  const auto read = SaveRest({AllBut({}), AllBut({}), AllBut({})}, false, 1002);
  ASSERT_OK(read);
  EXPECT_EQ(*read, memory_.size());
}

TEST_F(PutRestTest, ABlockOfAnotherLengthIsRead) {
  memory_.resize(kExtentBytes + kBlockBytes / 2);
  SaveAll();
  memory_.resize(kExtentBytes + kBlockBytes, std::byte{5});
  const auto read = SaveRest({AllBut({}), AllBut({})});
  ASSERT_OK(read);
  EXPECT_EQ(*read, kBlockBytes);
}

TEST_F(PutRestTest, WhereItWasZeroItIsRead) {
  std::fill_n(memory_.begin() + 2 * kBlockBytes, 3 * kBlockBytes, std::byte{0});
  SaveAll();
  const auto read = SaveRest({AllBut({}), AllBut({}), AllBut({})});
  ASSERT_OK(read);
  EXPECT_EQ(*read, 3 * kBlockBytes);
}

// The whole piece is known then, as one blob.
TEST_F(PutRestTest, WhatWasWrittenMayBeWhatItWas) {
  SaveAll();
  const auto read = SaveRest({AllBut({3, 9}), AllBut({}), AllBut({15})});
  ASSERT_OK(read);
  EXPECT_EQ(*read, 3 * kBlockBytes);
  // So too if what is kept lies in several blobs.
  Change(2);
  ASSERT_OK(SaveRest({AllBut({2}), AllBut({}), AllBut({})}));
  Change(5);
  ASSERT_OK(SaveRest({AllBut({5}), AllBut({}), AllBut({})}));
  Change(2);
  Change(5);
  ASSERT_OK(SaveRest({AllBut({2, 5}), AllBut({}), AllBut({})}));
}

// Whatever is changed, put back, or only said to have been written.
TEST_F(PutRestTest, AtRandomItIsAlwaysWhatItShouldBe) {
  const Bytes first = memory_;
  SaveAll();
  std::mt19937_64 random(7);
  for (int save = 0; save < 60; ++save) {
    std::vector<BlockSet> kept(3, AllBut({}));
    for (int i = 0; i < 8; ++i) {
      const size_t block = random() % (3 * kBlocksPerExtent);
      kept[block / kBlocksPerExtent].reset(block % kBlocksPerExtent);
      const auto at = static_cast<ssize_t>(block * kBlockBytes);
      if (random() % 3 == 0)
        Change(block);
      else if (random() % 3 == 0)
        std::copy_n(first.begin() + at, kBlockBytes, memory_.begin() + at);
      else if (random() % 6 == 0)
        std::fill_n(memory_.begin() + at, kBlockBytes, std::byte{0});
    }
    ASSERT_OK(SaveRest(kept, save % 4 == 0));
    ASSERT_FALSE(HasFailure()) << save;
  }
}

TEST_F(PutRestTest, VerifyingFindsWhatWasWrittenWithoutATrace) {
  SaveAll();
  const auto right = SaveRest({AllBut({}), AllBut({}), AllBut({})}, true);
  ASSERT_OK(right);
  EXPECT_EQ(*right, memory_.size());
  Change(kBlocksPerExtent + 3);
  const auto wrong = SaveRest({AllBut({}), AllBut({}), AllBut({})}, true);
  EXPECT_CODE(wrong, Code::kInternal);
  EXPECT_NE(wrong.error().message().find("written without a trace"), std::string::npos);
}

// Each save changes another block, so what extents are made of would become many blobs.
TEST_F(PutRestTest, ExtentsAreStoredAnewBeforeTheyConsistOfTooManyBlobs) {
  SaveAll();
  size_t read_bytes = 0;
  constexpr size_t kSaves = 40;
  for (size_t i = 0; i < kSaves; ++i) {
    const size_t block = 5 * i % kBlocksPerExtent;
    Change(block);
    const auto read = SaveRest({AllBut({block}), AllBut({}), AllBut({})});
    ASSERT_OK(read);
    read_bytes += *read;
  }
  EXPECT_GT(read_bytes, kSaves * kBlockBytes);
  EXPECT_LT(read_bytes, kSaves * kExtentBytes / 2);
}

// What has been stored ahead is of use to the rest, and what has not, is still kept.
TEST_F(PutRestTest, GoesOnFromWhatWasStoredAhead) {
  SaveAll();
  Change(1);
  const auto writer = store_->Write(++checkpoint_, 0, {});
  ASSERT_OK(writer);
  const auto put = [&](const char* name, BlockSet kept) {
    const auto stream = (*writer)->AddStream(name);
    Bytes buffer(kExtentBytes);
    return (*writer)->PutRest(*stream, 0, buffer,
                              {.blocks = kept,
                               .read = [&](size_t begin, size_t end) -> Status {
                                 std::ranges::copy(std::span(memory_).subspan(begin, end - begin),
                                                   buffer.begin() + static_cast<ssize_t>(begin));
                                 return {};
                               }},
                              kAddress, 1001);
  };
  ASSERT_OK(put("ahead", AllBut({1})));
  ASSERT_OK((*writer)->BeginAgain());
  Change(2);
  ASSERT_OK(put(kPages, AllBut({1, 2})));
  (*writer)->SetInfo({.node = "n1", .hostname = "h1", .owner = {.uid = kUid}, .processes = 1});
  const auto part = (*writer)->Finish();
  ASSERT_OK(part);
  EXPECT_EQ((*writer)->precopied().stored_bytes, kBlockBytes);
  EXPECT_EQ((*writer)->precopied().wasted_bytes, 0u);
  ASSERT_OK(store_->Commit(ManifestOf(checkpoint_, {*part})));
  memory_.resize(kExtentBytes);
  const auto loaded = LoadCheckpoint(*store_, checkpoint_);
  ASSERT_OK(loaded);
  EXPECT_EQ(*loaded, memory_);
}

}  // namespace
}  // namespace holdfast::storage
