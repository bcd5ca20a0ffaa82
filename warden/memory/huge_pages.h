// Huge pages for memory that a restore has filled page by page.
//
// Where the kernel makes transparent huge pages, a restored process has none of those it had. In
// time khugepaged would make them, by default 16 MiB in ten seconds; until then a program that
// jumps about in its memory is slower. So once all memory is there, the kernel is asked for them:
// process_madvise(2) with MADV_COLLAPSE, Linux 6.1. Nothing depends on its success.
//
// Used by restore.cc. Thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <stop_token>
#include <string_view>
#include <vector>

#include "warden/isolation/pod.h"
#include "warden/memory/lazy_memory.h"
#include "warden/memory/restore_memory.h"

namespace holdfast::warden {

// Documentation/admin-guide/mm/transhuge.rst of Linux.
struct HugePageRules {
  enum class Where { kNever, kWhereAdvised, kEverywhere };
  Where where = Where::kNever;
  uint64_t size_bytes = 2 << 20;

  static HugePageRules OfThisNode();
};

// Addresses of huge pages to be, by pid in the pod; all of their pages are among those that come.
using HugePagePlan = std::map<pid_t, std::vector<uint64_t>>;
HugePagePlan PlanHugePages(const HugePageRules& rules, const MemoryImages& images,
                           const std::map<pid_t, LazyProcess>& coming);

// Blocks until they are made, but not much longer once a stop is requested. Returns how many bytes
// lie in huge pages now. What has been unmapped meanwhile is left out.
uint64_t MakeHugePages(const Pod& pod, const HugePageRules& rules, const HugePagePlan& plan,
                       const std::stop_token& stop);

}  // namespace holdfast::warden
