// A pod's processes in the node's own /proc, where all of them can be found, threads too, by the
// ids that the node knows them by.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/numbers.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::warden {

// The node's pids, as names in /proc, of the processes in that pid namespace itself.
Result<std::vector<std::string>> ProcessesIn(const UniqueFd& pid_namespace);
// The id that the process or thread has in its own pid namespace, from its /proc status (line
// NSpid, "NSpid:\t4711\t1000": in every namespace, the reader's first, its own last).
std::optional<pid_t> InnermostPid(const std::string& status);

// The same of a process or thread that the node knows by `id`; nothing if it has ended.
std::optional<pid_t> IdInPod(pid_t id);

// What the process at that place in /proc calls itself, on one line and for people: it may call
// itself anything.
std::string NameOfProcess(const std::string& place);

// Calls visit(id on the node) for each thread of a process, until one fails; for none if the
// process has ended.
template <class Visit>
Status ForEachThread(const std::string& process, Visit visit) {
  const auto threads = ListDirectory("/proc/" + process + "/task");
  if (!threads) return {};
  for (const std::string& thread : *threads)
    if (const auto id = ParseNumber<pid_t>(thread)) HOLDFAST_CHECK(visit(*id));
  return {};
}

}  // namespace holdfast::warden
