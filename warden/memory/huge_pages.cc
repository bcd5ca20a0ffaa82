#include "warden/memory/huge_pages.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <span>
#include <string>

#include "base/files.h"
#include "base/unique_fd.h"

namespace holdfast::warden {
namespace {

// In one call, which cannot be stopped.
constexpr size_t kAtOnce = 32;
// One after the other: then there is no memory for more, or the kernel cannot do it.
constexpr unsigned kMaxRefusals = 16;

bool IsMeant(const HugePageRules& rules, const image::vma_entry& mapping) {
  const auto advised = [&](int advice) { return (mapping.madv() & (1ULL << advice)) != 0; };
  switch (rules.where) {
    case HugePageRules::Where::kNever:
      return false;
    case HugePageRules::Where::kWhereAdvised:
      return advised(MADV_HUGEPAGE);
    case HugePageRules::Where::kEverywhere:
      return !advised(MADV_NOHUGEPAGE);
  }
  return false;
}

bool AllCome(const MissingPages& coming, uint64_t address, uint64_t size_bytes) {
  const auto runs = coming.Within(address, size_bytes);
  return std::accumulate(runs.begin(), runs.end(), uint64_t{0},
                         [](uint64_t sum, const MissingRun& run) {
                           return sum + run.size_bytes;
                         }) == size_bytes;
}

// Invalid if it is gone.
UniqueFd OpenProcess(const Pod& pod, pid_t pid) {
  const auto outer = pod.OuterPid(pid);
  if (!outer) return {};
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, *outer, 0)));
  // Once it is open, the number cannot become another's.
  const auto still = pod.OuterPid(pid);
  return still && *still == *outer ? std::move(process) : UniqueFd();
}

// How many of them, from the first on, are huge pages now; -1 and errno if not even that is.
ssize_t Collapse(const UniqueFd& process, std::span<const uint64_t> addresses,
                 uint64_t size_bytes) {
  std::vector<iovec> pages;
  for (const uint64_t address : addresses)
    pages.push_back({.iov_base = reinterpret_cast<void*>(address), .iov_len = size_bytes});
  const long done =
      ::syscall(SYS_process_madvise, process.get(), pages.data(), pages.size(), MADV_COLLAPSE, 0);
  return done < 0 ? -1 : done / static_cast<long>(size_bytes);
}

}  // namespace

HugePageRules HugePageRules::OfThisNode() {
  const std::string place = "/sys/kernel/mm/transparent_hugepage/";
  HugePageRules rules;
  const std::string where = ReadFile(place + "enabled").value_or("");
  if (where.contains("[always]")) rules.where = Where::kEverywhere;
  if (where.contains("[madvise]")) rules.where = Where::kWhereAdvised;
  const std::string size = ReadFile(place + "hpage_pmd_size").value_or("");
  if (const auto bytes = std::strtoull(size.c_str(), nullptr, 10); bytes > 0)
    rules.size_bytes = bytes;
  return rules;
}

HugePagePlan PlanHugePages(const HugePageRules& rules, const MemoryImages& images,
                           const std::map<pid_t, LazyProcess>& coming) {
  HugePagePlan plan;
  for (const auto& [pid, process] : coming) {
    const auto mappings = images.mappings.find(pid);
    if (mappings == images.mappings.end()) continue;
    for (const image::vma_entry& mapping : mappings->second.vmas()) {
      if (!IsMeant(rules, mapping)) continue;
      uint64_t address = (mapping.start() + rules.size_bytes - 1) / rules.size_bytes;
      for (address *= rules.size_bytes; address + rules.size_bytes <= mapping.end();
           address += rules.size_bytes)
        if (AllCome(process.missing, address, rules.size_bytes)) plan[pid].push_back(address);
    }
  }
  return plan;
}

uint64_t MakeHugePages(const Pod& pod, const HugePageRules& rules, const HugePagePlan& plan,
                       const std::stop_token& stop) {
  uint64_t made = 0;
  for (const auto& [pid, addresses] : plan) {
    const UniqueFd process = OpenProcess(pod, pid);
    if (!process.valid()) continue;
    unsigned refusals = 0;
    for (size_t at = 0; at < addresses.size() && refusals < kMaxRefusals;) {
      if (stop.stop_requested()) return made;
      const auto some = std::span(addresses).subspan(at, std::min(kAtOnce, addresses.size() - at));
      const ssize_t count = Collapse(process, some, rules.size_bytes);
      if (count < 0 && errno == ESRCH) break;
      if (count > 0) {
        made += static_cast<uint64_t>(count) * rules.size_bytes;
        at += static_cast<size_t>(count);
        refusals = 0;
      } else {
        ++at;
        ++refusals;
      }
    }
  }
  return made;
}

}  // namespace holdfast::warden
