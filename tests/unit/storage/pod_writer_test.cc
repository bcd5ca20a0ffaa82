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

}  // namespace
}  // namespace holdfast::storage
