// userfaultfd(2): memory of other processes that somebody fills when it is touched.
//
// Used by lazy_memory.cc and restore.cc. Thread-safe as the system calls are.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "base/unique_fd.h"

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

}  // namespace holdfast::warden
