#include "warden/criu/images.h"

#include <gmock/gmock.h>

#include <cstring>
#include <random>

#include "pagemap_entry.h"

namespace holdfast::warden {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint32_t kCommonMagic = 0x54564319;

std::string Word(uint32_t word) { return {reinterpret_cast<const char*>(&word), sizeof word}; }

std::string Head(ImageMagic magic) {
  return Word(kCommonMagic) + Word(static_cast<uint32_t>(magic));
}

std::string Framed(const google::protobuf::MessageLite& record) {
  const std::string bytes = record.SerializeAsString();
  return Word(static_cast<uint32_t>(bytes.size())) + bytes;
}

Pagemap Sample() {
  return {.pages_id = 7,
          .entries = {Entry(0x400000, 3, kPageLazy), Entry(0x403000, 1, kPagePresent),
                      Entry(0x7f0000000000, 100, kPageLazy)}};
}

TEST(PidOfImage, IsWhatStandsBetween) {
  EXPECT_EQ(PidOfImage("pagemap-1234.img", "pagemap-"), 1234);
  for (const char* name : {"pagemap-shmem-7.img", "pagemap-.img", "pagemap--7.img", "pagemap-7",
                           "mm-7.img", "pagemap-7.img.img"})
    EXPECT_EQ(PidOfImage(name, "pagemap-"), 0) << name;
}

TEST(Images, PagemapSurvivesTheWay) {
  const auto parsed = ParsePagemap("pagemap-1.img", SerializePagemap(Sample()));
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->pages_id, 7u);
  ASSERT_EQ(parsed->entries.size(), 3u);
  EXPECT_EQ(parsed->entries[2].vaddr(), 0x7f0000000000u);
  EXPECT_EQ(EntryBytes(parsed->entries[2]), 100u * 4096);
  EXPECT_EQ(SerializePagemap(*parsed), SerializePagemap(Sample()));
}

TEST(Images, CountOfOlderCriuIsUnderstood) {
  image::pagemap_entry entry;
  entry.set_vaddr(0x1000);
  entry.set_compat_nr_pages(5);
  EXPECT_EQ(EntryBytes(entry), 5u * 4096);
}

TEST(Images, FieldsNotKnownHereAreKept) {
  // Field 15, varint 1: what a later CRIU may add.
  std::string bytes = Entry(0x1000, 1, kPageLazy).SerializeAsString() + "\x78\x01";
  const auto entry = ParseRecord<image::pagemap_entry>("x", bytes);
  ASSERT_TRUE(entry);
  EXPECT_THAT(entry->SerializeAsString(), HasSubstr("\x78\x01"));
}

TEST(Images, RefusesDisorder) {
  const auto parse = [](std::vector<image::pagemap_entry> entries) {
    return ParsePagemap("pagemap-1.img",
                        SerializePagemap({.pages_id = 1, .entries = std::move(entries)}));
  };
  EXPECT_TRUE(parse({Entry(0x1000, 1, kPageLazy), Entry(0x2000, 1, kPageLazy)}));
  for (const auto& bad : {
           parse({Entry(0x1000, 2, kPageLazy), Entry(0x2000, 1, kPageLazy)}),  // overlap
           parse({Entry(0x2000, 1, kPageLazy), Entry(0x1000, 1, kPageLazy)}),  // descending
           parse({Entry(0x1001, 1, kPageLazy)}),                               // not a page
           parse({Entry(0x1000, ~0ULL, kPageLazy)}),                           // overflows
           parse({Entry(~0ULL - 4095, 1, kPageLazy)}),
       }) {
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().code(), Code::kCorrupt);
  }
  const auto parent = parse({Entry(0x1000, 1, 1)});
  ASSERT_FALSE(parent);
  EXPECT_EQ(parent.error().code(), Code::kUnsupported);
}

TEST(Images, RefusesAnotherKind) {
  EXPECT_FALSE(ParsePagemap("pagemap-1.img", ""));
  EXPECT_FALSE(ParsePagemap("pagemap-1.img", Head(ImageMagic::kCore)));
  EXPECT_FALSE(ParsePagemap("pagemap-1.img", Head(ImageMagic::kPagemap)));  // no head record
  EXPECT_FALSE(SplitImage("ghost", Head(ImageMagic::kGhostFile), ImageMagic::kGhostFile, true));
}

TEST(Images, MissingRequiredFieldIsCorrupt) {
  const auto parsed = ParseImage<image::pstree_entry>(
      "pstree.img", Head(ImageMagic::kPstree) + Word(2) + std::string("\x08\x01"),
      ImageMagic::kPstree);
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code(), Code::kCorrupt);
  EXPECT_THAT(parsed.error().message(), HasSubstr("pstree.img"));
}

TEST(Images, WhatFollowsTheFirstRecordCanBeIgnored) {
  image::ghost_file_entry ghost;
  ghost.set_uid(1);
  ghost.set_gid(2);
  ghost.set_mode(0100600);
  const std::string image = Head(ImageMagic::kGhostFile) + Framed(ghost) + "\xff\xff\xff\xffraw";
  EXPECT_FALSE(SplitImage("ghost-file-1.img", image, ImageMagic::kGhostFile));
  const auto first = SplitImage("ghost-file-1.img", image, ImageMagic::kGhostFile, true);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->size(), 1u);
}

TEST(Images, EveryTruncationIsRefusedOrShorter) {
  const std::string whole = SerializePagemap(Sample());
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto parsed = ParsePagemap("pagemap-1.img", std::string_view(whole).substr(0, size));
    if (parsed) {
      EXPECT_LT(parsed->entries.size(), 3u);
    }
  }
}

TEST(Images, GarbageNeverParsesIntoDisorder) {
  std::mt19937 random(42);
  const std::string whole = SerializePagemap(Sample());
  for (int round = 0; round < 20000; ++round) {
    std::string image = whole;
    for (int flips = 0; flips < 4; ++flips)
      image[8 + random() % (image.size() - 8)] = static_cast<char>(random());
    const auto parsed = ParsePagemap("pagemap-1.img", image);
    if (!parsed) continue;
    uint64_t end = 0;
    for (const auto& entry : parsed->entries) {
      EXPECT_GE(entry.vaddr(), end);
      EXPECT_GE(entry.vaddr() + EntryBytes(entry), entry.vaddr());
      end = entry.vaddr() + EntryBytes(entry);
    }
  }
}

}  // namespace
}  // namespace holdfast::warden
