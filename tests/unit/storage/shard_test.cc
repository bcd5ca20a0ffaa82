#include "storage/shard.h"

#include <gtest/gtest.h>

#include "tests/unit/storage/test_job.h"

namespace holdfast::storage {
namespace {

Shard Sample() {
  Shard shard;
  shard.blobs = {{.pack = 3,
                  .codec = Codec::kZstd,
                  .offset = 1ULL << 29,
                  .stored_bytes = 100,
                  .raw_bytes = 2 * kBlockBytes + 1,
                  .digest = {std::byte{5}}},
                 {.pack = 4, .stored_bytes = 10, .raw_bytes = 10}};
  shard.blocks = {BlockDigest{std::byte{1}}, BlockDigest{std::byte{2}}, BlockDigest{std::byte{3}},
                  BlockDigest{std::byte{4}}};
  shard.extents = {{.stream = 1,
                    .pid = 7,
                    .offset = 1ULL << 40,
                    .address = 0x7f0000000000,
                    .length_bytes = kBlockBytes,
                    .blob = 0,
                    .blob_offset = kBlockBytes},
                   {.stream = 2, .length_bytes = 10, .blob = 1}};
  return shard;
}

TEST(ShardTest, IsReadAsWritten) {
  const Bytes file = EncodeShard(Sample());
  EXPECT_EQ(file.size(), Sample().size_bytes());
  const auto shard = DecodeShard(file);
  ASSERT_OK(shard);
  ASSERT_EQ(shard->blobs.size(), 2u);
  EXPECT_EQ(shard->blobs[0].pack, 3u);
  EXPECT_EQ(shard->blobs[0].codec, Codec::kZstd);
  EXPECT_EQ(shard->blobs[0].offset, 1ULL << 29);
  EXPECT_EQ(shard->blobs[0].stored_bytes, 100u);
  EXPECT_EQ(shard->blobs[0].raw_bytes, 2 * kBlockBytes + 1);
  EXPECT_EQ(shard->blobs[0].digest, Sample().blobs[0].digest);
  EXPECT_EQ(shard->blocks, Sample().blocks);
  ASSERT_EQ(shard->extents.size(), 2u);
  EXPECT_EQ(shard->extents[0].offset, 1ULL << 40);
  EXPECT_EQ(shard->extents[0].address, 0x7f0000000000u);
  EXPECT_EQ(shard->extents[0].pid, 7u);
  EXPECT_EQ(shard->extents[0].blob_offset, kBlockBytes);
  EXPECT_EQ(shard->extents[1].stream, 2u);
  EXPECT_EQ(shard->FirstBlocks(), (std::vector<uint32_t>{0, 3}));
}

// Nobody sees another file than was written, but a mistake must be an error, not a crash.
TEST(ShardTest, AnotherFileIsRefused) {
  const Bytes file = EncodeShard(Sample());
  for (size_t size = 0; size < file.size(); ++size)
    EXPECT_FALSE(DecodeShard(std::span(file).first(size))) << size;
  for (size_t at = 0; at < 20; ++at) {
    Bytes other = file;
    other[at] ^= std::byte{0x81};
    EXPECT_FALSE(DecodeShard(other)) << at;
  }
  EXPECT_TRUE(DecodeShard(EncodeShard({})));
}

TEST(ShardTest, SpansSayWhereToLook) {
  Shard shard;
  const auto add = [&](uint32_t stream, uint32_t pid, uint64_t offset, uint64_t address) {
    shard.extents.push_back(
        {.stream = stream, .pid = pid, .offset = offset, .address = address, .length_bytes = 100});
  };
  add(0, 7, 0, 1000);
  add(0, 7, 100, 5000);  // what lies between was zero, or never put
  add(0, 8, 200, 6000);
  add(0, 8, 300, 6000);  // not behind the one before
  add(1, 0, 50, 0);
  add(1, 0, 5000, 0);
  const auto spans = SpansOf(shard, 9);
  ASSERT_EQ(spans.size(), 4u);
  EXPECT_EQ(spans[0].shard, 9u);
  EXPECT_EQ(spans[0].end, 200u);
  EXPECT_EQ(spans[0].address, 1000u);
  EXPECT_EQ(spans[0].address_end, 5100u);
  EXPECT_EQ(spans[1].pid, 8u);
  EXPECT_EQ(spans[2].offset, 300u);
  EXPECT_EQ(spans[3].stream, 1u);
  EXPECT_EQ(spans[3].offset, 50u);
  EXPECT_EQ(spans[3].end, 5100u);
  EXPECT_EQ(spans[3].address_end, 0u);
}

TEST(ShardTest, ExtentsAreFoundByWhereTheyLie) {
  Shard shard;
  shard.extents = {{.stream = 1, .offset = 0, .length_bytes = 10},
                   {.stream = 1, .offset = 20, .length_bytes = 10},
                   {.stream = 3, .offset = 0, .length_bytes = 10}};
  const LoadedShard loaded(std::move(shard));
  EXPECT_EQ(loaded.Within(1, 0, 100).size(), 2u);
  EXPECT_EQ(loaded.Within(1, 9, 20).size(), 1u);
  EXPECT_EQ(loaded.Within(1, 10, 21)[0].offset, 20u);
  EXPECT_TRUE(loaded.Within(1, 10, 20).empty());
  EXPECT_TRUE(loaded.Within(1, 30, 100).empty());
  EXPECT_TRUE(loaded.Within(0, 0, 100).empty());
  EXPECT_TRUE(loaded.Within(2, 0, 100).empty());
  EXPECT_EQ(loaded.Within(3, 0, 1)[0].stream, 3u);
}

}  // namespace
}  // namespace holdfast::storage
