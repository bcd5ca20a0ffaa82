#include "storage/part.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <functional>

#include "storage/layout.h"

namespace holdfast::storage {
namespace {

Part Sample() {
  Part part;
  part.job = {"lab", 4242, "20261128T004824Z"};
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
  part.rest.blobs = {
      {.pack = 1, .codec = Codec::kRaw, .offset = 0, .stored_bytes = 40000, .raw_bytes = 40000},
      {.pack = 0, .codec = Codec::kZstd, .offset = 990, .stored_bytes = 10, .raw_bytes = 16384}};
  part.rest.blocks.resize(4);
  part.rest.blocks[3].fill(std::byte{7});
  part.rest.extents = {{.stream = 0,
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
  part.files = {{.path = "/home/alice/out put\xff\n.txt",
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
  EXPECT_EQ(part->job, JobName{.id = 4242});
  EXPECT_EQ(part->checkpoint, 17u);
  EXPECT_EQ(part->info.node, "n007");
  EXPECT_EQ(part->info.hostname, "n1");
  EXPECT_EQ(part->info.owner, Sample().info.owner);
  EXPECT_EQ(part->info.root_pid, 1001u);
  EXPECT_EQ(part->info.attributes, Sample().info.attributes);
  ASSERT_EQ(part->streams.size(), 2u);
  EXPECT_EQ(part->streams[0].name, "pages-1.img");
  EXPECT_EQ(part->streams[0].size_bytes, 1u << 20);
  ASSERT_EQ(part->rest.extents.size(), 2u);
  EXPECT_EQ(part->rest.extents[1].address, 0x7f0000004000u);
  EXPECT_EQ(part->rest.extents[1].blob_offset, 32768u);
  ASSERT_EQ(part->rest.blobs.size(), 2u);
  EXPECT_EQ(part->rest.blobs[1].codec, Codec::kZstd);
  EXPECT_EQ(part->rest.blocks, Sample().rest.blocks);
  EXPECT_EQ(part->packs[0].name, "packs/000016-1-0.pack");
  EXPECT_EQ(part->processes[0].raw_bytes, 23616u);
  ASSERT_EQ(part->files.size(), 1u);
  EXPECT_EQ(part->files[0].path, "/home/alice/out put\xff\n.txt");
  EXPECT_EQ(part->files[0].mtime_ns, -1);
  EXPECT_TRUE(part->files[0].append);
  EXPECT_FALSE(part->files[0].job_output);
  EXPECT_EQ(part->images, Sample().images);
  EXPECT_EQ(part->rest.FirstBlocks(), (std::vector<uint32_t>{0, 3}));
}

// As Sample, but most of it in shards.
Part Sharded() {
  Part part = Sample();
  part.shards = {{.pack = 1, .offset = 0, .stored_bytes = 1000, .digest = {std::byte{9}}},
                 {.pack = 1, .offset = 1000, .stored_bytes = 2000}};
  part.spans = {{.shard = 1,
                 .stream = 0,
                 .pid = 1002,
                 .offset = 32768,
                 .end = 65536,
                 .address = 0x7f0000008000,
                 .address_end = 0x7f0000010000}};
  return part;
}

TEST(PartTest, ShardsAreReadAsWritten) {
  const auto file = EncodePart(Sharded());
  ASSERT_TRUE(file) << file.error().message();
  const auto part = DecodePart(*file);
  ASSERT_TRUE(part) << part.error().message();
  ASSERT_EQ(part->shards.size(), 2u);
  EXPECT_EQ(part->shards[0].digest, Sharded().shards[0].digest);
  EXPECT_EQ(part->shards[1].offset, 1000u);
  EXPECT_EQ(part->shards[1].stored_bytes, 2000u);
  ASSERT_EQ(part->spans.size(), 1u);
  EXPECT_EQ(part->spans[0].shard, 1u);
  EXPECT_EQ(part->spans[0].end, 65536u);
  EXPECT_EQ(part->spans[0].address_end, 0x7f0000010000u);
  EXPECT_EQ(part->rest.extents.size(), 2u);
  EXPECT_FALSE(part->encrypted());
}

TEST(PartTest, SealedShardsHaveTheirKeys) {
  Part sealed = Sharded();
  for (PackRow& pack : sealed.packs) pack.key.emplace().fill(std::byte{5});
  sealed.rest = {};
  const auto file = EncodePart(sealed);
  ASSERT_TRUE(file) << file.error().message();
  const auto part = DecodePart(*file);
  ASSERT_TRUE(part) << part.error().message();
  EXPECT_TRUE(part->encrypted());
  EXPECT_EQ(part->shards.size(), 2u);
}

TEST(PartTest, AnEmptyPartIsAPart) {
  const auto file = EncodePart(Part{});
  ASSERT_TRUE(file) << file.error().message();
  const auto part = DecodePart(*file);
  ASSERT_TRUE(part) << part.error().message();
  EXPECT_TRUE(part->rest.extents.empty());
  EXPECT_TRUE(part->images.empty());
}

TEST(PartTest, WhatBreaksARuleIsRefused) {
  const std::vector<std::pair<const char*, std::function<void(Part&)>>> breaches{
      {"other name", [](Part& part) { part.packs[0].name = "../x"; }},
      {"no pack", [](Part& part) { part.rest.blobs[0].pack = 2; }},
      {"size or codec", [](Part& part) { part.rest.blobs[0].raw_bytes = kExtentBytes + 1; }},
      {"size or codec", [](Part& part) { part.rest.blobs[0].stored_bytes = 39999; }},
      {"size or codec", [](Part& part) { part.rest.blobs[1].stored_bytes = 16384; }},
      {"size or codec", [](Part& part) { part.rest.blobs[1].codec = static_cast<Codec>(9); }},
      {"end of its pack", [](Part& part) { part.rest.blobs[1].offset = 991; }},
      {"end of its pack", [](Part& part) { part.rest.blobs[1].offset = ~0ULL; }},
      {"block digests", [](Part& part) { part.rest.blocks.pop_back(); }},
      {"of no stream", [](Part& part) { part.rest.extents[1].stream = 2; }},
      {"end of its stream", [](Part& part) { part.rest.extents[1].offset = ~0ULL; }},
      {"end of its stream", [](Part& part) { part.rest.extents[1].length_bytes = 0; }},
      {"overlaps", [](Part& part) { part.rest.extents[1].offset = 16383; }},
      {"overlaps", [](Part& part) { std::swap(part.rest.extents[0], part.rest.extents[1]); }},
      {"has no blob", [](Part& part) { part.rest.extents[0].blob = 2; }},
      {"end of its blob", [](Part& part) { part.rest.extents[1].length_bytes = 7233; }},
      {"end of its blob", [](Part& part) { part.rest.extents[1].blob_offset = 1; }},
      {"shard 0 lies in no pack", [](Part& part) { part.shards[0].pack = 2; }},
      {"shard 1 has a wrong size", [](Part& part) { part.shards[1].stored_bytes = 0; }},
      {"shard 1 has a wrong size", [](Part& part) { part.shards[1].stored_bytes = 1 << 20; }},
      {"end of its pack", [](Part& part) { part.shards[1].offset = kExtentBytes - 1999; }},
      {"span 0", [](Part& part) { part.spans[0].shard = 2; }},
      {"span 0", [](Part& part) { part.spans[0].stream = 2; }},
      {"span 0", [](Part& part) { part.spans[0].end = 32768; }},
      {"span 0", [](Part& part) { part.spans[0].end = (1 << 20) + 1; }},
  };
  for (const auto& [what, breach] : breaches) {
    Part part = Sharded();
    breach(part);
    const auto file = EncodePart(part);
    ASSERT_FALSE(file) << what;
    EXPECT_EQ(file.error().code(), Code::kCorrupt);
    EXPECT_NE(file.error().message().find(what), std::string::npos) << file.error().message();
  }
}

// As somebody may call a file or directory where `holdfast verify` is run.
TEST(PartTest, FilesOfAnyNameMayLieInTheWorkingDirectory) {
  const auto file = EncodePart(Sample());
  ASSERT_TRUE(file);
  char directory[] = "/tmp/holdfast-part-XXXXXX";
  ASSERT_NE(::mkdtemp(directory), nullptr);
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(directory);
  for (const char* name : {"memory", "image"}) std::filesystem::create_directory(name);
  const auto part = DecodePart(*file);
  EXPECT_TRUE(part) << part.error().message();
  std::filesystem::current_path(before);
  std::filesystem::remove_all(directory);
}

TEST(PartTest, AFileThatIsNoHdf5IsAnErrorNotACrash) {
  EXPECT_FALSE(DecodePart({}));
  EXPECT_FALSE(DecodePart(std::vector<std::byte>(5000, std::byte{0x5a})));
}

}  // namespace
}  // namespace holdfast::storage
