#include "warden/isolation/affinity.h"

#include <sched.h>

#include <array>
#include <cerrno>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "warden/isolation/pod_processes.h"

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

bool Contains(const CpuSet& set, size_t cpu) { return CPU_ISSET_S(cpu, sizeof set, set.data()); }

// The CPUs of a set, in order: a CPU's place is its index here.
std::vector<size_t> CpusOf(const CpuSet& set) {
  std::vector<size_t> cpus;
  for (size_t cpu = 0; cpu < sizeof set * 8; ++cpu)
    if (Contains(set, cpu)) cpus.push_back(cpu);
  return cpus;
}

template <class Visit>
Status ForEachThreadOf(const Pod& pod, Visit visit) {
  HOLDFAST_TRY(const auto processes, ProcessesIn(pod.pid_namespace()));
  for (const std::string& process : processes) HOLDFAST_CHECK(ForEachThread(process, visit));
  return {};
}

}  // namespace

Status BindLike(pid_t pid) {
  HOLDFAST_TRY(const CpuSet set, GetAffinity(pid));
  return SetAffinity(0, set);
}

Status BindToShare(uint32_t slot, uint32_t slots) {
  HOLDFAST_TRY(const CpuSet all, GetAffinity(0));
  const std::vector<size_t> cpus = CpusOf(all);
  if (slots < 2 || cpus.size() < slots) return {};
  CpuSet share = {};
  for (size_t place = cpus.size() * slot / slots; place < cpus.size() * (slot + 1) / slots; ++place)
    CPU_SET_S(cpus[place], sizeof share, share.data());
  return SetAffinity(0, share);
}

unsigned BoundCores() {
  const auto set = GetAffinity(0);
  return set ? static_cast<unsigned>(CPU_COUNT_S(sizeof *set, set->data())) : 1;
}

Result<std::string> DescribeBindings(const Pod& pod) {
  HOLDFAST_TRY(const CpuSet all, GetAffinity(0));
  const std::vector<size_t> cpus = CpusOf(all);
  std::string lines;
  const auto describe = [&](pid_t tid) -> Status {
    HOLDFAST_TRY(const CpuSet set, GetAffinity(tid));
    std::string places;
    size_t count = 0;
    for (size_t place = 0; place < cpus.size(); ++place) {
      if (!Contains(set, cpus[place])) continue;
      places += " " + std::to_string(place);
      ++count;
    }
    if (count == 0 || count == cpus.size()) return {};
    if (const auto in_pod = IdInPod(tid)) lines += std::to_string(*in_pod) + places + "\n";
    return {};
  };
  HOLDFAST_CHECK(ForEachThreadOf(pod, describe));
  return lines;
}

Status BindPod(const Pod& pod, const std::string& bindings) {
  HOLDFAST_TRY(const CpuSet all, GetAffinity(0));
  const std::vector<size_t> cpus = CpusOf(all);
  std::map<pid_t, CpuSet> narrower;
  std::istringstream lines(bindings);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    pid_t in_pod = 0;
    words >> in_pod;
    CpuSet set = {};
    bool fits = true;
    for (size_t place = 0; words >> place;) {
      fits = fits && place < cpus.size();
      if (fits) CPU_SET_S(cpus[place], sizeof set, set.data());
    }
    if (fits) narrower.emplace(in_pod, set);
  }
  return ForEachThreadOf(pod, [&](pid_t tid) {
    const auto found = narrower.empty() ? narrower.end() : narrower.find(IdInPod(tid).value_or(0));
    return SetAffinity(tid, found == narrower.end() ? all : found->second);
  });
}

}  // namespace holdfast::warden
