#include "warden/isolation/limits.h"

#include <algorithm>
#include <cstring>
#include <sstream>

#include "base/files.h"
#include "base/numbers.h"

namespace holdfast::warden {
namespace {

// proc_pid_limits(5)
constexpr std::pair<const char*, int> kLimits[] = {
    {"Max cpu time", RLIMIT_CPU},
    {"Max file size", RLIMIT_FSIZE},
    {"Max data size", RLIMIT_DATA},
    {"Max stack size", RLIMIT_STACK},
    {"Max core file size", RLIMIT_CORE},
    {"Max resident set", RLIMIT_RSS},
    {"Max processes", RLIMIT_NPROC},
    {"Max open files", RLIMIT_NOFILE},
    {"Max locked memory", RLIMIT_MEMLOCK},
    {"Max address space", RLIMIT_AS},
    {"Max file locks", RLIMIT_LOCKS},
    {"Max pending signals", RLIMIT_SIGPENDING},
    {"Max msgqueue size", RLIMIT_MSGQUEUE},
    {"Max nice priority", RLIMIT_NICE},
    {"Max realtime priority", RLIMIT_RTPRIO},
    {"Max realtime timeout", RLIMIT_RTTIME},
};

Result<rlim_t> ParseLimit(const std::string& text) {
  if (text == "unlimited") return RLIM_INFINITY;
  if (const auto value = ParseNumber<rlim_t>(text)) return *value;
  return Fail(Code::kInternal, "'" + text + "' is not a limit");
}

}  // namespace

Result<std::vector<std::pair<int, rlimit>>> ParseLimits(const std::string& text) {
  std::vector<std::pair<int, rlimit>> limits;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    for (const auto& [name, resource] : kLimits) {
      if (!line.starts_with(std::string(name) + " ")) continue;
      std::istringstream values(line.substr(std::strlen(name)));
      std::string soft, hard;
      values >> soft >> hard;
      rlimit limit = {};
      HOLDFAST_TRY(limit.rlim_cur, ParseLimit(soft));
      HOLDFAST_TRY(limit.rlim_max, ParseLimit(hard));
      limits.emplace_back(resource, limit);
    }
  }
  return limits;
}

Status CopyLimits(pid_t from, pid_t to) {
  HOLDFAST_TRY(const std::string text, ReadFile("/proc/" + std::to_string(from) + "/limits"));
  HOLDFAST_TRY(const auto limits, ParseLimits(text));
  for (const auto& [resource, limit] : limits) {
    rlimit present = {};
    if (::prlimit(to, static_cast<__rlimit_resource>(resource), nullptr, &present) != 0)
      return FailErrno("reading a limit");
    // Without CAP_SYS_RESOURCE a hard limit can only be lowered.
    rlimit wanted = limit;
    if (wanted.rlim_max > present.rlim_max &&
        ::prlimit(to, static_cast<__rlimit_resource>(resource), &wanted, nullptr) == 0)
      continue;
    wanted.rlim_max = std::min(wanted.rlim_max, present.rlim_max);
    wanted.rlim_cur = std::min(wanted.rlim_cur, wanted.rlim_max);
    if (::prlimit(to, static_cast<__rlimit_resource>(resource), &wanted, nullptr) != 0)
      return FailErrno("setting a limit");
  }
  return {};
}

void RaiseHardLimits() {
  // Nobody may have more descriptors than this (proc_sys_fs(5)).
  const std::string nr_open = ReadFile("/proc/sys/fs/nr_open").value_or("");
  const auto most_files = ParseNumber<rlim_t>(nr_open.substr(0, nr_open.find('\n')));
  for (const auto& [name, resource] : kLimits) {
    const auto which = static_cast<__rlimit_resource>(resource);
    rlimit limit = {};
    if (::getrlimit(which, &limit) != 0) continue;
    const rlim_t most =
        resource == RLIMIT_NOFILE ? most_files.value_or(limit.rlim_max) : RLIM_INFINITY;
    limit.rlim_max = std::max(limit.rlim_max, most);
    // Without CAP_SYS_RESOURCE it stays as it is, and CRIU fails where a limit is above it.
    ::setrlimit(which, &limit);
  }
}

void UseAllDescriptors() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace holdfast::warden
