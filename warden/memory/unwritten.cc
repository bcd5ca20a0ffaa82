#include "warden/memory/unwritten.h"

#include <algorithm>
#include <utility>

namespace holdfast::warden {
namespace {

uint64_t WindowOf(const MemoryPiece& piece) {
  return piece.runs.front().address / storage::kExtentBytes;
}

// Ranges that follow each other are one.
void Append(std::vector<AddressRange>& ranges, AddressRange range) {
  if (!ranges.empty() && ranges.back().end == range.begin)
    ranges.back().end = range.end;
  else
    ranges.push_back(range);
}

std::vector<AddressRange> PagesOf(const MemoryPiece& piece) {
  std::vector<AddressRange> pages;
  for (const MemoryRun& run : piece.runs)
    Append(pages, {.begin = run.address, .end = run.address + run.size_bytes});
  return pages;
}

Pagemap PagemapOf(const std::vector<AddressRange>& pages) {
  Pagemap pagemap;
  for (const AddressRange& range : pages) {
    image::pagemap_entry& entry = pagemap.entries.emplace_back();
    entry.set_vaddr(range.begin);
    entry.set_nr_pages((range.end - range.begin) / PageBytes());
    entry.set_flags(kPageLazy);
  }
  return pagemap;
}

}  // namespace

UnwrittenBlocks::UnwrittenBlocks(std::vector<AddressRange> ranges,
                                 const std::vector<AddressRange>& saved)
    : ranges_(std::move(ranges)), before_(PagemapOf(saved)), piece_before_(before_.Next()) {}

bool UnwrittenBlocks::HasSamePages(const MemoryPiece& piece) {
  while (piece_before_ && WindowOf(*piece_before_) < WindowOf(piece))
    piece_before_ = before_.Next();
  return piece_before_ && PagesOf(*piece_before_) == PagesOf(piece);
}

bool UnwrittenBlocks::IsUnwritten(AddressRange range) {
  while (next_ < ranges_.size() && ranges_[next_].end <= range.begin) ++next_;
  return next_ < ranges_.size() && ranges_[next_].begin <= range.begin &&
         ranges_[next_].end >= range.end;
}

storage::BlockSet UnwrittenBlocks::Of(const MemoryPiece& piece) {
  storage::BlockSet unwritten;
  if (!HasSamePages(piece)) return unwritten;
  unwritten.set();
  size_t offset = 0;  // in the piece
  for (const MemoryRun& run : piece.runs) {
    for (uint64_t done = 0; done < run.size_bytes;) {
      const size_t block = offset / storage::kBlockBytes;
      const uint64_t size =
          std::min<uint64_t>((block + 1) * storage::kBlockBytes - offset, run.size_bytes - done);
      const uint64_t address = run.address + done;
      if (!IsUnwritten({.begin = address, .end = address + size})) unwritten.reset(block);
      done += size;
      offset += size;
    }
  }
  for (size_t block = (offset + storage::kBlockBytes - 1) / storage::kBlockBytes;
       block < unwritten.size(); ++block)
    unwritten.reset(block);
  return unwritten;
}

uint64_t UnwrittenBytes(const MemoryPiece& piece) {
  uint64_t sum = 0;
  for (size_t block = 0; block < piece.unwritten.size(); ++block)
    if (piece.unwritten[block])
      sum +=
          std::min<uint64_t>(storage::kBlockBytes, piece.size_bytes - block * storage::kBlockBytes);
  return sum;
}

std::vector<AddressRange> PagesOf(const Pagemap& pagemap) {
  std::vector<AddressRange> pages;
  for (const image::pagemap_entry& entry : pagemap.entries)
    if ((entry.flags() & (kPagePresent | kPageLazy)) != 0)
      Append(pages, {.begin = entry.vaddr(), .end = entry.vaddr() + EntryBytes(entry)});
  return pages;
}

}  // namespace holdfast::warden
