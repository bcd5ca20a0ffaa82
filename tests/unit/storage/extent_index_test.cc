#include "storage/extent_index.h"

#include <gtest/gtest.h>

#include "storage/layout.h"

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
  part.blobs = {{.pack = 0, .stored_bytes = 3 * kBlockBytes, .raw_bytes = 3 * kBlockBytes},
                {.pack = 1, .stored_bytes = kBlockBytes, .raw_bytes = kBlockBytes}};
  part.blocks = Blocks({1, 2, 3, 4});
  part.extents = {{.stream = 0,
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

const std::vector<bool> kAllUsable{true, true};

TEST(ExtentIndexTest, BlobsAreFoundByContent) {
  const ExtentIndex index(Previous(), kAllUsable);
  EXPECT_EQ(index.FindBlob(KeyOf(Blocks({1, 2, 3}))), 0u);
  EXPECT_EQ(index.FindBlob(KeyOf(Blocks({4}))), 1u);
  EXPECT_EQ(index.FindBlob(KeyOf(Blocks({1, 2}))), std::nullopt);
  EXPECT_EQ(ExtentIndex().FindBlob(KeyOf(Blocks({4}))), std::nullopt);
}

TEST(ExtentIndexTest, UnchangedBlocksAreFoundByAddress) {
  const ExtentIndex index(Previous(), kAllUsable);
  const auto blocks = Blocks({1, 9, 3, 4, 0, 4});
  const auto found = index.FindUnchanged(PlaceOf("any name", 12345, 7, 0x100000), blocks);
  ASSERT_EQ(found.size(), 6u);
  ASSERT_TRUE(found[0]);
  EXPECT_EQ(found[0]->blob, 0u);
  EXPECT_EQ(found[0]->blob_offset, 0u);
  EXPECT_FALSE(found[1]);
  ASSERT_TRUE(found[2]);
  EXPECT_EQ(found[2]->blob_offset, 2 * kBlockBytes);
  EXPECT_FALSE(found[3]) << "the right content at another place is not looked for";
  EXPECT_FALSE(found[4]);
  ASSERT_TRUE(found[5]);
  EXPECT_EQ(found[5]->blob, 1u);
}

TEST(ExtentIndexTest, APieceMayBeginWithinAnExtent) {
  const ExtentIndex index(Previous(), kAllUsable);
  const auto found = index.FindUnchanged({7, 0x100000 + kBlockBytes}, Blocks({2, 3}));
  ASSERT_TRUE(found[0]);
  EXPECT_EQ(found[0]->blob_offset, kBlockBytes);
  EXPECT_TRUE(found[1]);
  // But only on its grid of blocks.
  EXPECT_FALSE(index.FindUnchanged({7, 0x100000 + 4096}, Blocks({1}))[0]);
  EXPECT_FALSE(index.FindUnchanged({7, 0x100000 - kBlockBytes}, Blocks({1}))[0]);
  EXPECT_FALSE(index.FindUnchanged({8, 0x100000}, Blocks({1}))[0]);
  EXPECT_FALSE(ExtentIndex().FindUnchanged({7, 0x100000}, Blocks({1}))[0]);
}

TEST(ExtentIndexTest, FilesAreFoundByNameAndOffset) {
  Part part = Previous();
  for (ExtentRow& extent : part.extents) extent.pid = extent.address = 0;
  const ExtentIndex index(std::move(part), kAllUsable);
  const Place place = PlaceOf("pages-1.img", 5 * kBlockBytes, 0, 0);
  EXPECT_TRUE(index.FindUnchanged(place, Blocks({4}))[0]);
  EXPECT_FALSE(index.FindUnchanged(PlaceOf("other", 5 * kBlockBytes, 0, 0), Blocks({4}))[0]);
}

TEST(ExtentIndexTest, WhatLiesInALostPackIsNotFound) {
  const ExtentIndex index(Previous(), {false, true});
  EXPECT_EQ(index.FindBlob(KeyOf(Blocks({1, 2, 3}))), std::nullopt);
  EXPECT_EQ(index.FindBlob(KeyOf(Blocks({4}))), 1u);
  EXPECT_FALSE(index.FindUnchanged({7, 0x100000}, Blocks({1}))[0]);
}

// One block at the beginning of what Previous has, and changed.
Part Newer() {
  Part part;
  part.streams = {{"ahead", kBlockBytes}};
  part.packs = {{PackKey(2, 0, 0), 1 << 20}};
  part.blobs = {{.pack = 0, .stored_bytes = kBlockBytes, .raw_bytes = kBlockBytes}};
  part.blocks = Blocks({9});
  part.extents = {{.stream = 0,
                   .pid = 7,
                   .offset = 0,
                   .address = 0x100000,
                   .length_bytes = kBlockBytes,
                   .blob = 0}};
  return part;
}

// As Previous, with its last block in another window, and a stream that is no memory.
Part PreviousWithFiles() {
  Part part = Previous();
  part.extents[1].address = 0x100000 + kExtentBytes;
  part.streams.push_back({"tmp.tar", kBlockBytes});
  part.extents.push_back({.stream = 1, .length_bytes = kBlockBytes, .blob = 1});
  part.images["inventory.img"] = "x";
  return part;
}

TEST(ExtentIndex, BelowANewerPartItHasWhatThatDoesNotCover) {
  const ExtentIndex index = ExtentIndex(PreviousWithFiles(), kAllUsable).Below(Newer());
  const auto covered = index.FindUnchanged({7, 0x100000}, Blocks({9, 2}));
  EXPECT_TRUE(covered[0]);
  EXPECT_FALSE(covered[1]);
  const auto other = index.FindUnchanged({7, 0x100000 + kExtentBytes}, Blocks({4}));
  ASSERT_TRUE(other[0]);
  EXPECT_EQ(index.part().packs[index.part().blobs[other[0]->blob].pack].name, PackKey(1, 0, 1));
  EXPECT_TRUE(index.FindBlob(KeyOf(Blocks({9}))));
  EXPECT_TRUE(index.FindBlob(KeyOf(Blocks({1, 2, 3})))) << "found by content all the same";
  EXPECT_TRUE(index.FindStream("tmp.tar"));
  EXPECT_FALSE(index.FindStream("pages-1.img")) << "not whole any more";
  EXPECT_EQ(index.part().images.at("inventory.img"), "x");
  EXPECT_EQ(index.part().blobs.size(), 3u);
}

TEST(ExtentIndex, BelowANewerPartAStreamWithoutItsPackIsNotFound) {
  const ExtentIndex index = ExtentIndex(PreviousWithFiles(), {true, false}).Below(Newer());
  EXPECT_FALSE(index.FindStream("tmp.tar"));
  EXPECT_FALSE(index.FindBlob(KeyOf(Blocks({4}))));
}

}  // namespace
}  // namespace holdfast::storage
