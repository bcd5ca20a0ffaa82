// What /proc tells of a process's memory: its mappings, and by ioctl(2) PAGEMAP_SCAN of Linux 6.7
// which pages there are. That call passes over what is only reserved, be it terabytes.
//
// Used by live_memory.cc and write_tracking.cc. Thread-safe.
#pragma once

#include <linux/fs.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::warden {

struct AddressRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  bool operator==(const AddressRange&) const = default;
};

struct Mapping {
  AddressRange where;
  bool anonymous = false;  // of no file
};

struct Mappings {
  std::vector<Mapping> own;  // private ones, ascending, but for the kernel's
  bool has_aio = false;      // a ring of io_setup(2)
};
// `process`: its directory in /proc.
Result<Mappings> ReadMappings(const UniqueFd& process);

// Which pages are meant: the fields of pm_scan_arg, Documentation/admin-guide/mm/pagemap.rst of
// Linux.
struct PageRequest {
  uint64_t inverted = 0;
  uint64_t all_of = 0;
  uint64_t any_of = 0;
  uint64_t told = 0;
  uint64_t at_most = 0;  // pages; 0: all
  // Write-protects those that are meant and have been written, if they are tracked.
  bool protect = false;
};

// Calls take(range, categories), ascending; `pagemap`: the process's. False: the kernel cannot do
// it. A process that has ended has no pages.
bool ScanPages(const UniqueFd& pagemap, AddressRange where, const PageRequest& request,
               const std::function<void(AddressRange, uint64_t)>& take);

}  // namespace holdfast::warden
