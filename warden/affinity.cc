#include "warden/affinity.h"

#include <sched.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <string>

#include "base/files.h"

namespace holdfast::warden {
namespace {

// Room for more CPUs than any Linux has (NR_CPUS is at most 8192).
using CpuSet = std::array<cpu_set_t, 8>;

Result<CpuSet> GetAffinity(pid_t pid) {
  CpuSet set = {};
  if (::sched_getaffinity(pid, sizeof set, set.data()) != 0)
    return FailErrno("reading the CPU binding of process " + std::to_string(pid));
  return set;
}

Status SetAffinity(pid_t tid, const CpuSet& set) {
  if (::sched_setaffinity(tid, sizeof set, set.data()) != 0 && errno != ESRCH)
    return FailErrno("binding thread " + std::to_string(tid) + " to CPUs");
  return {};
}

bool IsNumber(const std::string& name) {
  return name.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace

Status BindLike(pid_t pid) {
  HOLDFAST_TRY(const CpuSet set, GetAffinity(pid));
  return SetAffinity(0, set);
}

unsigned BoundCores() {
  const auto set = GetAffinity(0);
  return set ? static_cast<unsigned>(CPU_COUNT_S(sizeof *set, set->data())) : 1;
}

Status BindPod(const Pod& pod) {
  HOLDFAST_TRY(const CpuSet set, GetAffinity(0));
  struct stat ours = {};
  if (::fstat(pod.pid_namespace().get(), &ours) != 0) return FailErrno("fstat");
  HOLDFAST_TRY(const auto processes, ListDirectory("/proc"));
  for (const std::string& process : processes) {
    const std::string directory = "/proc/" + process;
    struct stat theirs = {};
    if (!IsNumber(process) || ::stat((directory + "/ns/pid").c_str(), &theirs) != 0 ||
        theirs.st_ino != ours.st_ino)
      continue;
    const auto threads = ListDirectory(directory + "/task");
    if (!threads) continue;  // it has ended
    for (const std::string& thread : *threads) HOLDFAST_CHECK(SetAffinity(std::stoi(thread), set));
  }
  return {};
}

}  // namespace holdfast::warden
