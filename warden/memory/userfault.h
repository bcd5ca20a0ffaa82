// userfaultfd(2): memory of other processes that somebody fills when it is touched, or of which it
// is known what they write.
//
// Used by lazy_memory.cc, restore.cc and write_tracking.cc. Thread-safe as the system calls are.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "base/unique_fd.h"
#include "warden/memory/page_scan.h"

namespace holdfast::warden {

// kUnsupported, saying why, if this process may not fill the memory of a process that forks, maps
// and unmaps.
Status CheckUserfaultfd();

// How filling went.
enum class Fill {
  kDone,       // all of it, or the first part
  kPresent,    // the first page is there already
  kNoMapping,  // it is not, or not all of it, in one mapping that waits to be filled
  kBusy,       // an event has to be read first
  kGone,       // the process does not exist any more
};
struct Filled {
  Fill how = Fill::kDone;
  uint64_t size_bytes = 0;  // done, if kDone
};

// Gives pages their contents, and wakes who waits for them. Both sides lie on whole pages.
Result<Filled> FillPages(const UniqueFd& fd, uint64_t address, std::span<const std::byte> data);
// Makes one page zero, and wakes who waits for it.
Result<Fill> FillZero(const UniqueFd& fd, uint64_t address);
// Who waits for these pages tries again.
void WakePages(const UniqueFd& fd, uint64_t address, uint64_t size_bytes);

// kUnsupported, saying why, if the kernel cannot protect memory as write_tracking.h wants it.
Status CheckWriteTracking();
// The same of a new userfaultfd, that comes from a user's process and is then good for nothing
// else.
Status EnableWriteTracking(const UniqueFd& fd);
// From now on pages of this mapping can be protected; protected so, and by PAGEMAP_SCAN, are
// none yet. False if that mapping has others, or cannot be tracked.
Result<bool> RegisterWrites(const UniqueFd& fd, AddressRange where);
// Whether the address space is gone: its process has ended, or runs another program.
bool IsGone(const UniqueFd& fd);
// All pages count as written.
Status Unprotect(const UniqueFd& fd, AddressRange where);

}  // namespace holdfast::warden
