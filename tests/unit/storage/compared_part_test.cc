#include "storage/compared_part.h"

#include <gtest/gtest.h>

#include "storage/digest.h"
#include "storage/known_blobs.h"
#include "storage/layout.h"
#include "storage/memory_backend.h"
#include "tests/unit/storage/test_job.h"

namespace holdfast::storage {
namespace {

// Digests that consist of one value each.
std::vector<BlockDigest> Blocks(std::initializer_list<uint8_t> values) {
  std::vector<BlockDigest> blocks;
  for (const uint8_t value : values) blocks.emplace_back().fill(std::byte{value});
  return blocks;
}

// Three blocks in a blob of pack 0 and one in pack 1; the stream has a hole before the last.
Part Previous() {
  Part part;
  part.streams = {{"pages-1.img", 1 << 20}};
  part.packs = {{PackKey(1, 0, 0), 1 << 20}, {PackKey(1, 0, 1), 1 << 20}};
  part.rest.blobs = {{.pack = 0, .stored_bytes = 3 * kBlockBytes, .raw_bytes = 3 * kBlockBytes},
                     {.pack = 1, .stored_bytes = kBlockBytes, .raw_bytes = kBlockBytes}};
  part.rest.blocks = Blocks({1, 2, 3, 4});
  part.rest.extents = {{.stream = 0,
                        .pid = 7,
                        .offset = 0,
                        .address = 0x100000,
                        .length_bytes = 3 * kBlockBytes,
                        .blob = 0},
                       {.stream = 0,
                        .pid = 7,
                        .offset = 5 * kBlockBytes,
                        .address = 0x100000 + 5 * kBlockBytes,
                        .length_bytes = kBlockBytes,
                        .blob = 1}};
  return part;
}

class ComparedPartTest : public testing::Test {
 protected:
  using Numbers = std::vector<std::optional<uint32_t>>;

  // In the writer, packs have other numbers than in the part.
  ComparedPart Compared(Part part, Numbers packs = {10, 11}) {
    return {backend_, std::move(part), std::move(packs), 1};
  }
  static ComparedPart::Unchanged Find(const ComparedPart& part, Place place,
                                      const std::vector<BlockDigest>& digests) {
    ComparedPart::Unchanged found;
    found.blocks.resize(digests.size());
    part.FindUnchanged(place, digests, found);
    return found;
  }
  // `part` with its tables in a shard that lies in a pack of its own.
  Part InAShard(Part part) {
    const std::vector<std::byte> file = EncodeShard(part.rest);
    part.shards.push_back({.pack = static_cast<uint32_t>(part.packs.size()),
                           .stored_bytes = static_cast<uint32_t>(file.size()),
                           .digest = HashOf(file)});
    part.spans = SpansOf(part.rest, 0);
    part.packs.push_back({PackKey(1, 0, 2), file.size()});
    part.rest = {};
    EXPECT_TRUE(backend_.PutIfAbsent(PackKey(1, 0, 2), file));
    return part;
  }

  MemoryBackend backend_;
};

TEST_F(ComparedPartTest, BlobsAreGivenByContent) {
  std::vector<std::pair<ContentKey, uint32_t>> blobs;
  Compared(Previous()).ForEachBlob([&](const Blob& blob) {
    blobs.emplace_back(KeyOf(blob.blocks), blob.row.pack);
  });
  EXPECT_EQ(blobs, (std::vector<std::pair<ContentKey, uint32_t>>{{KeyOf(Blocks({1, 2, 3})), 10},
                                                                 {KeyOf(Blocks({4})), 11}}));
}

TEST_F(ComparedPartTest, UnchangedBlocksAreFoundByAddress) {
  const auto part = Compared(Previous());
  const auto found =
      Find(part, PlaceOf("any name", 12345, 7, 0x100000), Blocks({1, 9, 3, 4, 0, 4}));
  ASSERT_EQ(found.blocks.size(), 6u);
  ASSERT_TRUE(found.blocks[0]);
  EXPECT_EQ(found.blobs[found.blocks[0]->blob].row.pack, 10u);
  EXPECT_EQ(found.blobs[found.blocks[0]->blob].blocks, Blocks({1, 2, 3}));
  EXPECT_EQ(found.blocks[0]->blob_offset, 0u);
  EXPECT_FALSE(found.blocks[1]);
  ASSERT_TRUE(found.blocks[2]);
  EXPECT_EQ(found.blocks[2]->blob_offset, 2 * kBlockBytes);
  EXPECT_FALSE(found.blocks[3]) << "the right content at another place is not looked for";
  EXPECT_FALSE(found.blocks[4]);
  ASSERT_TRUE(found.blocks[5]);
  EXPECT_EQ(found.blobs[found.blocks[5]->blob].row.pack, 11u);
  EXPECT_EQ(found.blobs.size(), 2u);
}

TEST_F(ComparedPartTest, APieceMayBeginWithinAnExtent) {
  const auto part = Compared(Previous());
  const auto found = Find(part, {7, 0x100000 + kBlockBytes}, Blocks({2, 3}));
  ASSERT_TRUE(found.blocks[0]);
  EXPECT_EQ(found.blocks[0]->blob_offset, kBlockBytes);
  EXPECT_TRUE(found.blocks[1]);
  // But only on its grid of blocks.
  EXPECT_FALSE(Find(part, {7, 0x100000 + 4096}, Blocks({1})).blocks[0]);
  EXPECT_FALSE(Find(part, {7, 0x100000 - kBlockBytes}, Blocks({1})).blocks[0]);
  EXPECT_FALSE(Find(part, {8, 0x100000}, Blocks({1})).blocks[0]);
}

TEST_F(ComparedPartTest, FilesAreFoundByNameAndOffset) {
  Part previous = Previous();
  for (ExtentRow& extent : previous.rest.extents) extent.pid = extent.address = 0;
  const auto part = Compared(std::move(previous));
  EXPECT_TRUE(Find(part, PlaceOf("pages-1.img", 5 * kBlockBytes, 0, 0), Blocks({4})).blocks[0]);
  EXPECT_FALSE(Find(part, PlaceOf("other", 5 * kBlockBytes, 0, 0), Blocks({4})).blocks[0]);
}

TEST_F(ComparedPartTest, WhatLiesInALostPackIsNotFound) {
  const auto part = Compared(Previous(), {std::nullopt, 11});
  size_t blobs = 0;
  part.ForEachBlob([&](const Blob&) { ++blobs; });
  EXPECT_EQ(blobs, 1u);
  EXPECT_FALSE(Find(part, {7, 0x100000}, Blocks({1})).blocks[0]);
  EXPECT_TRUE(Find(part, {7, 0x100000 + 5 * kBlockBytes}, Blocks({4})).blocks[0]);
  EXPECT_FALSE(part.FindStream("pages-1.img"));
}

TEST_F(ComparedPartTest, WhatWasFoundBeforeStays) {
  const auto part = Compared(Previous());
  ComparedPart::Unchanged found;
  found.blobs = {{.row = {.pack = 5}, .blocks = Blocks({1})}};
  found.blocks = {ComparedPart::BlockPlace{0, 0}, std::nullopt};
  part.FindUnchanged({7, 0x100000}, Blocks({1, 2}), found);
  EXPECT_EQ(found.blobs[found.blocks[0]->blob].row.pack, 5u);
  ASSERT_TRUE(found.blocks[1]);
  EXPECT_EQ(found.blobs[found.blocks[1]->blob].row.pack, 10u);
}

TEST_F(ComparedPartTest, ABlobWithAHoleCountsOnce) {
  Part previous = Previous();
  previous.rest.extents[0].length_bytes = kBlockBytes;
  previous.rest.extents[1] = {.stream = 0,
                              .pid = 7,
                              .offset = 2 * kBlockBytes,
                              .address = 0x100000 + 2 * kBlockBytes,
                              .length_bytes = kBlockBytes,
                              .blob = 0,
                              .blob_offset = 2 * kBlockBytes};
  const auto found = Find(Compared(std::move(previous)), {7, 0x100000}, Blocks({1, 0, 3}));
  EXPECT_TRUE(found.blocks[0]);
  EXPECT_TRUE(found.blocks[2]);
  EXPECT_EQ(found.blobs.size(), 1u);
}

TEST_F(ComparedPartTest, ShardsInPacksAreReadAndFoundTheSame) {
  const auto part = Compared(InAShard(Previous()), {10, 11, 12});
  EXPECT_TRUE(Find(part, {7, 0x100000}, Blocks({1})).blocks[0]);
  EXPECT_EQ(part.FindStream("pages-1.img"), 1u << 20);
  std::vector<uint64_t> offsets;
  const auto take = [&](const ExtentRow& extent, const Blob&) -> Status {
    offsets.push_back(extent.offset);
    return {};
  };
  ASSERT_OK(part.ForEachExtent("pages-1.img", take));
  EXPECT_EQ(offsets, (std::vector<uint64_t>{0, 5 * kBlockBytes}));
}

TEST_F(ComparedPartTest, InADamagedShardNothingIsFound) {
  Part previous = InAShard(Previous());
  Bytes file = backend_.Get(PackKey(1, 0, 2));
  file[file.size() / 2] ^= std::byte{1};
  backend_.Set(PackKey(1, 0, 2), file);
  const auto part = Compared(std::move(previous), {10, 11, 12});
  EXPECT_FALSE(Find(part, {7, 0x100000}, Blocks({1})).blocks[0]);
  EXPECT_FALSE(part.FindStream("pages-1.img"));
}

}  // namespace
}  // namespace holdfast::storage
