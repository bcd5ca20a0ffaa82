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

}  // namespace
}  // namespace holdfast::storage
