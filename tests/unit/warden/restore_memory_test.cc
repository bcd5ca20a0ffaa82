#include "warden/memory/restore_memory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>

#include "fake_checkpoint.h"
#include "pagemap_entry.h"

namespace holdfast::warden {
namespace {

using ::testing::ElementsAre;

constexpr uint64_t kPage = 4096;

Pagemap MakePagemap(uint32_t id, std::vector<image::pagemap_entry> entries) {
  return {.pages_id = id, .entries = std::move(entries)};
}

constexpr uint32_t kBoth = kPageLazy | kPagePresent;

std::vector<uint32_t> Flags(const Pagemap& pagemap) {
  std::vector<uint32_t> flags;
  for (const auto& entry : pagemap.entries) flags.push_back(entry.flags());
  return flags;
}

TEST(RestoreMemoryTest, WhatParentAndChildMayShareComesAtOnce) {
  MemoryImages images;
  images.pagemaps[10] = MakePagemap(
      1, {Entry(0x10000, 4, kBoth), Entry(0x20000, 4, kBoth), Entry(0x40000, 1, kBoth)});
  images.pagemaps[11] = MakePagemap(2, {Entry(0x13000, 0x10, kBoth), Entry(0x50000, 1, kBoth)});
  images.parents = {{10, 0}, {11, 10}};
  KeepEager(images);
  EXPECT_THAT(Flags(images.pagemaps[10]), ElementsAre(kPagePresent, kPagePresent, kBoth));
  EXPECT_THAT(Flags(images.pagemaps[11]), ElementsAre(kPagePresent, kBoth));
}

TEST(RestoreMemoryTest, WhatAForkWipesComesAtOnce) {
  MemoryImages images;
  images.pagemaps[10] = MakePagemap(1, {Entry(0x10000, 1, kBoth), Entry(0x20000, 4, kBoth)});
  image::vma_entry& mapping = *images.mappings[10].add_vmas();
  mapping.set_start(0x22000);
  mapping.set_end(0x23000);
  mapping.set_madv(1ULL << MADV_WIPEONFORK);
  KeepEager(images);
  EXPECT_THAT(Flags(images.pagemaps[10]), ElementsAre(kBoth, kPagePresent));
}

TEST(RestoreMemoryTest, PlansByTheOrderOfThePages) {
  FakeCheckpoint checkpoint;
  checkpoint.streams.push_back({.name = "pages-1.img"});
  checkpoint.streams.push_back({.name = "pages-2.img"});
  checkpoint.streams[1].bytes.resize(7 * kPage);
  MemoryImages images;
  images.pagemaps[10] = MakePagemap(2, {Entry(0x10000, 2, kPagePresent), Entry(0x20000, 3, kBoth),
                                        Entry(0x30000, 9, 0), Entry(0x40000, 2, kBoth)});
  images.pagemaps[11] = MakePagemap(1, {Entry(0x10000, 0, kPagePresent)});
  FakeReader reader(checkpoint);
  const auto plan = PlanLazy(images, reader);
  ASSERT_TRUE(plan) << plan.error().message();
  ASSERT_EQ(plan->size(), 1u);
  EXPECT_EQ(plan->at(10).stream, 1u);
  EXPECT_THAT(plan->at(10).missing.Within(0, 1 << 30),
              ElementsAre(MissingRun{0x20000, 3 * kPage, 2 * kPage},
                          MissingRun{0x40000, 2 * kPage, 5 * kPage}));
  checkpoint.streams[1].bytes.resize(6 * kPage);
  FakeReader shorter(checkpoint);
  const auto refused = PlanLazy(images, shorter);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kCorrupt);
}

TEST(RestoreMemoryTest, LeavesHolesWherePagesComeLater) {
  FakeCheckpoint checkpoint;
  checkpoint.streams.push_back({.name = "pages-1.img"});
  auto& bytes = checkpoint.streams[0].bytes;
  bytes.assign(300 * kPage, std::byte{1});
  std::fill_n(bytes.begin() + 200 * kPage, 100 * kPage, std::byte{2});
  MemoryImages images;
  images.pagemaps[10] =
      MakePagemap(1, {Entry(0x100000, 200, kBoth), Entry(0x800000, 100, kPagePresent)});
  FakeReader reader(checkpoint);
  const auto plan = PlanLazy(images, reader);
  ASSERT_TRUE(plan);
  char path[] = "/tmp/holdfast-restore-memory-XXXXXX";
  ASSERT_NE(::mkdtemp(path), nullptr);
  const auto directory = OpenFile(path, O_RDONLY | O_DIRECTORY);
  const auto loaded = LoadMemory(*directory, reader, *plan, images, {}, 2);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(*loaded, 100 * kPage);
  const std::string file = ReadFile(std::string(path) + "/pages-1.img").value_or("");
  EXPECT_EQ(file, std::string(200 * kPage, '\0') + std::string(100 * kPage, '\2'));
  EXPECT_TRUE(RemoveTree(path));
}

}  // namespace
}  // namespace holdfast::warden
