// Which blocks of a process's memory are in the checkpoint before as they are now: all of their
// pages have not been written since (write_tracking.h), and they are made of the same pages. A page
// more or less in a window of memory moves those behind it to other places of the piece
// (frozen_memory.h), and then the whole piece is taken for changed.
//
// Used by frozen_memory.cc and precopy_memory.cc.
#pragma once

#include <optional>
#include <vector>

#include "storage/checkpoint.h"
#include "warden/memory/frozen_memory.h"
#include "warden/memory/page_scan.h"

namespace holdfast::warden {

class UnwrittenBlocks {
 public:
  // `ranges`: what has not been written since that checkpoint; `saved`: what was saved then.
  UnwrittenBlocks(std::vector<AddressRange> ranges, const std::vector<AddressRange>& saved);
  // Of pieces that are asked about in ascending order.
  storage::BlockSet Of(const MemoryPiece& piece);

 private:
  bool HasSamePages(const MemoryPiece& piece);
  bool IsUnwritten(AddressRange range);

  const std::vector<AddressRange> ranges_;
  size_t next_ = 0;  // the first of them that does not end before what was asked last
  MemoryCutter before_;
  std::optional<MemoryPiece> piece_before_;
};

uint64_t UnwrittenBytes(const MemoryPiece& piece);
// What the pagemap's pages are.
std::vector<AddressRange> PagesOf(const Pagemap& pagemap);

}  // namespace holdfast::warden
