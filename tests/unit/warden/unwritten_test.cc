#include "warden/memory/unwritten.h"

#include <gmock/gmock.h>

#include "pagemap_entry.h"

namespace holdfast::warden {
namespace {

using storage::BlockSet;
using storage::kBlockBytes;
using storage::kExtentBytes;

constexpr uint64_t kPage = 4096;
constexpr uint64_t kBegin = 16 * kExtentBytes;

std::vector<AddressRange> Pages(std::initializer_list<std::pair<uint64_t, uint64_t>> runs) {
  std::vector<AddressRange> ranges;
  for (const auto& [first, count] : runs)
    ranges.push_back({.begin = kBegin + first * kPage, .end = kBegin + (first + count) * kPage});
  return ranges;
}

Pagemap PagemapOf(const std::vector<AddressRange>& pages) {
  Pagemap pagemap;
  for (const AddressRange& range : pages)
    pagemap.entries.push_back(Entry(range.begin, (range.end - range.begin) / kPage, kPageLazy));
  return pagemap;
}

// Of all pieces, as text: a digit for each block.
std::string Find(const std::vector<AddressRange>& unwritten, const std::vector<AddressRange>& saved,
                 const std::vector<AddressRange>& now) {
  UnwrittenBlocks blocks(unwritten, saved);
  MemoryCutter cutter(PagemapOf(now));
  std::string text;
  while (const auto piece = cutter.Next()) {
    const BlockSet set = blocks.Of(*piece);
    uint64_t bytes = 0;
    for (size_t i = 0; i < set.size(); ++i) {
      const bool exists = i * kBlockBytes < piece->size_bytes;
      EXPECT_TRUE(exists || !set[i]);
      if (exists) text += set[i] ? '1' : '0';
      if (set[i]) bytes += std::min<uint64_t>(kBlockBytes, piece->size_bytes - i * kBlockBytes);
    }
    MemoryPiece same = *piece;
    same.unwritten = set;
    EXPECT_EQ(UnwrittenBytes(same), bytes);
    text += ' ';
  }
  return text;
}

TEST(UnwrittenBlocks, AreThoseOfWhichNoPageWasWritten) {
  const auto all = Pages({{0, 20}});
  EXPECT_EQ(Find(all, all, all), "11111 ");
  EXPECT_EQ(Find(Pages({{0, 5}, {6, 14}}), all, all), "10111 ");
  EXPECT_EQ(Find(Pages({{1, 18}}), all, all), "01110 ");
  EXPECT_EQ(Find({}, all, all), "00000 ");
}

TEST(UnwrittenBlocks, ALastOneMayBeShort) {
  const auto all = Pages({{0, 6}});
  EXPECT_EQ(Find(all, all, all), "11 ");
  EXPECT_EQ(Find(Pages({{0, 5}}), all, all), "10 ");
}

TEST(UnwrittenBlocks, OfAWindowWithOtherPagesThereAreNone) {
  // Page 4 has gone and page 40 has come: the second block would be made of pages 5 to 8, which all
  // are as they were.
  const auto before = Pages({{0, 30}, {64, 8}});
  const auto now = Pages({{0, 4}, {5, 25}, {40, 1}, {64, 8}});
  EXPECT_EQ(Find(before, before, now), "00000000 11 ");
  EXPECT_EQ(Find(now, Pages({{64, 8}}), now), "00000000 11 ");
  EXPECT_EQ(Find(now, {}, now), "00000000 00 ");
}

TEST(UnwrittenBlocks, PagesThatDoNotFollowEachOtherMayShareABlock) {
  const auto all = Pages({{0, 1}, {2, 1}, {4, 1}, {6, 1}, {8, 4}});
  EXPECT_EQ(Find(all, all, all), "11 ");
  EXPECT_EQ(Find(Pages({{0, 1}, {2, 1}, {6, 1}, {8, 4}}), all, all), "01 ");
}

TEST(UnwrittenBlocks, WhoWroteAPageDoesNotMatterForWhichPagesThereAre) {
  // Two runs of the pagemap that follow each other, of which one was in CRIU's file.
  const Pagemap now{
      .entries = {Entry(kBegin, 4, kPageLazy), Entry(kBegin + 4 * kPage, 4, kPagePresent)}};
  EXPECT_EQ(PagesOf(now), Pages({{0, 8}}));
}

}  // namespace
}  // namespace holdfast::warden
