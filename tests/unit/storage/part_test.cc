#include "storage/part.h"

#include <gtest/gtest.h>

#include <functional>

#include "storage/layout.h"

namespace holdfast::storage {
namespace {

Part Sample() {
  Part part;
  part.job_id = 4242;
  part.checkpoint = 17;
  part.info = {.pod = 1,
               .node = "n007",
               .hostname = "n1",
               .owner = {.uid = 1000, .gid = 100, .groups = {100, 7}},
               .processes = 2,
               .root_pid = 1001,
               .attributes = {{"kernel", "6.12"}}};
  part.streams = {{"pages-1.img", 1 << 20}, {"tmp.tar", 0}};
  part.packs = {{PackKey(16, 1, 0), 1000}, {PackKey(17, 1, 0), kExtentBytes}};
  part.blobs = {
      {.pack = 1, .codec = Codec::kRaw, .offset = 0, .stored_bytes = 40000, .raw_bytes = 40000},
      {.pack = 0, .codec = Codec::kZstd, .offset = 990, .stored_bytes = 10, .raw_bytes = 16384}};
  part.blocks.resize(4);
  part.blocks[3].fill(std::byte{7});
  part.extents = {{.stream = 0,
                   .pid = 1002,
                   .offset = 0,
                   .address = 0x7f0000000000,
                   .length_bytes = 16384,
                   .blob = 1,
                   .blob_offset = 0},
                  {.stream = 0,
                   .pid = 1002,
                   .offset = 16384,
                   .address = 0x7f0000004000,
                   .length_bytes = 7232,
                   .blob = 0,
                   .blob_offset = 32768}};
  part.processes = {{1002, 23616}};
  part.files = {{.path = "/home/alice/out put.txt",
                 .size_bytes = 5,
                 .mtime_ns = -1,
                 .inode = ~0ULL,
                 .append = true,
                 .job_output = false}};
  part.images = {{"core-1002.img", std::string("\0\1\2", 3)}, {"empty.img", ""}};
  return part;
}

TEST(PartTest, IsReadAsWritten) {
  const auto file = EncodePart(Sample());
  ASSERT_TRUE(file) << file.error().message();
  const auto part = DecodePart(*file);
  ASSERT_TRUE(part) << part.error().message();
  EXPECT_EQ(part->job_id, 4242u);
  EXPECT_EQ(part->checkpoint, 17u);
  EXPECT_EQ(part->info.node, "n007");
  EXPECT_EQ(part->info.hostname, "n1");
  EXPECT_EQ(part->info.owner, Sample().info.owner);
  EXPECT_EQ(part->info.root_pid, 1001u);
  EXPECT_EQ(part->info.attributes, Sample().info.attributes);
  ASSERT_EQ(part->streams.size(), 2u);
  EXPECT_EQ(part->streams[0].name, "pages-1.img");
  EXPECT_EQ(part->streams[0].size_bytes, 1u << 20);
  ASSERT_EQ(part->extents.size(), 2u);
  EXPECT_EQ(part->extents[1].address, 0x7f0000004000u);
  EXPECT_EQ(part->extents[1].blob_offset, 32768u);
  ASSERT_EQ(part->blobs.size(), 2u);
  EXPECT_EQ(part->blobs[1].codec, Codec::kZstd);
  EXPECT_EQ(part->blocks, Sample().blocks);
  EXPECT_EQ(part->packs[0].name, "packs/000016-1-0.pack");
  EXPECT_EQ(part->processes[0].raw_bytes, 23616u);
  ASSERT_EQ(part->files.size(), 1u);
  EXPECT_EQ(part->files[0].path, "/home/alice/out put.txt");
  EXPECT_EQ(part->files[0].mtime_ns, -1);
  EXPECT_TRUE(part->files[0].append);
  EXPECT_FALSE(part->files[0].job_output);
  EXPECT_EQ(part->images, Sample().images);
  EXPECT_EQ(part->FirstBlocks(), (std::vector<uint32_t>{0, 3}));
}

TEST(PartTest, AnEmptyPartIsAPart) {
  const auto file = EncodePart(Part{});
  ASSERT_TRUE(file) << file.error().message();
  const auto part = DecodePart(*file);
  ASSERT_TRUE(part) << part.error().message();
  EXPECT_TRUE(part->extents.empty());
  EXPECT_TRUE(part->images.empty());
}

TEST(PartTest, WhatBreaksARuleIsRefused) {
  const std::vector<std::pair<const char*, std::function<void(Part&)>>> breaches{
      {"other name", [](Part& part) { part.packs[0].name = "../x"; }},
      {"no pack", [](Part& part) { part.blobs[0].pack = 2; }},
      {"size or codec", [](Part& part) { part.blobs[0].raw_bytes = kExtentBytes + 1; }},
      {"size or codec", [](Part& part) { part.blobs[0].stored_bytes = 39999; }},
      {"size or codec", [](Part& part) { part.blobs[1].stored_bytes = 16384; }},
      {"size or codec", [](Part& part) { part.blobs[1].codec = static_cast<Codec>(9); }},
      {"end of its pack", [](Part& part) { part.blobs[1].offset = 991; }},
      {"end of its pack", [](Part& part) { part.blobs[1].offset = ~0ULL; }},
      {"block digests", [](Part& part) { part.blocks.pop_back(); }},
      {"of no stream", [](Part& part) { part.extents[1].stream = 2; }},
      {"end of its stream", [](Part& part) { part.extents[1].offset = ~0ULL; }},
      {"end of its stream", [](Part& part) { part.extents[1].length_bytes = 0; }},
      {"overlaps", [](Part& part) { part.extents[1].offset = 16383; }},
      {"overlaps", [](Part& part) { std::swap(part.extents[0], part.extents[1]); }},
      {"has no blob", [](Part& part) { part.extents[0].blob = 2; }},
      {"end of its blob", [](Part& part) { part.extents[1].length_bytes = 7233; }},
      {"end of its blob", [](Part& part) { part.extents[1].blob_offset = 1; }},
  };
  for (const auto& [what, breach] : breaches) {
    Part part = Sample();
    breach(part);
    const auto file = EncodePart(part);
    ASSERT_FALSE(file) << what;
    EXPECT_EQ(file.error().code(), Code::kCorrupt);
    EXPECT_NE(file.error().message().find(what), std::string::npos) << file.error().message();
  }
}

TEST(PartTest, AFileThatIsNoHdf5IsAnErrorNotACrash) {
  EXPECT_FALSE(DecodePart({}));
  EXPECT_FALSE(DecodePart(std::vector<std::byte>(5000, std::byte{0x5a})));
}

}  // namespace
}  // namespace holdfast::storage
