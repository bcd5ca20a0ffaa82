#include "warden/isolation/clocks.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <sstream>

#include "base/files.h"
#include "base/numbers.h"

namespace holdfast::warden {
namespace {

using Attributes = std::map<std::string, std::string>;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr const char* kMonotonic = "monotonic_ns";
constexpr const char* kBoottime = "boottime_ns";
constexpr const char* kRealtime = "realtime_ns";

struct Offsets {
  nanoseconds monotonic{}, boottime{};
};

nanoseconds Now(clockid_t clock) {
  timespec now = {};
  ::clock_gettime(clock, &now);
  return seconds(now.tv_sec) + nanoseconds(now.tv_nsec);
}

// Of the time namespace of a process's children, against the kernel's own clocks.
Result<Offsets> ReadOffsets(const std::string& process) {
  const std::string path = process + "/timens_offsets";
  HOLDFAST_TRY(const std::string text, ReadFile(path));
  Offsets offsets;
  std::istringstream lines(text);
  std::string clock;
  for (int64_t whole = 0, rest = 0; lines >> clock >> whole >> rest;)
    (clock == "boottime" ? offsets.boottime : offsets.monotonic) =
        seconds(whole) + nanoseconds(rest);
  if (!lines.eof()) return Fail(Code::kInternal, path + " cannot be read: " + text);
  return offsets;
}

std::string InitProcess(const Pod& pod) { return "/proc/" + std::to_string(pod.init_pid()); }

// What has to be added to this process's clocks to have the pod's.
Result<Offsets> Difference(const Pod& pod) {
  HOLDFAST_TRY(const Offsets of_pod, ReadOffsets(InitProcess(pod)));
  HOLDFAST_TRY(const Offsets own, ReadOffsets("/proc/self"));
  return Offsets{of_pod.monotonic - own.monotonic, of_pod.boottime - own.boottime};
}

Result<std::optional<nanoseconds>> Read(const Attributes& saved, const char* name) {
  const auto found = saved.find(name);
  if (found == saved.end()) return std::nullopt;
  const auto value = ParseNumber<int64_t>(found->second);
  if (!value || *value < 0)
    return Fail(Code::kCorrupt, std::string(name) + " of the checkpoint is " + found->second);
  return nanoseconds(*value);
}

std::string Line(const char* clock, nanoseconds offset) {
  // Rounded down: the kernel wants the rest to be positive.
  const auto whole = std::chrono::floor<seconds>(offset);
  return std::string(clock) + " " + std::to_string(whole.count()) + " " +
         std::to_string((offset - whole).count()) + "\n";
}

}  // namespace

Result<Attributes> DescribeClocks(const Pod& pod) {
  HOLDFAST_TRY(const Offsets offsets, Difference(pod));
  const auto text = [](nanoseconds value) { return std::to_string(value.count()); };
  return Attributes{{kMonotonic, text(Now(CLOCK_MONOTONIC) + offsets.monotonic)},
                    {kBoottime, text(Now(CLOCK_BOOTTIME) + offsets.boottime)},
                    {kRealtime, text(Now(CLOCK_REALTIME))}};
}

Status SetClocks(const Pod& pod, const Attributes& saved) {
  HOLDFAST_TRY(const auto monotonic, Read(saved, kMonotonic));
  HOLDFAST_TRY(const auto boottime, Read(saved, kBoottime));
  HOLDFAST_TRY(const auto realtime, Read(saved, kRealtime));
  if (!monotonic || !boottime || !realtime) return {};
  HOLDFAST_TRY(const Offsets own, ReadOffsets("/proc/self"));
  // By a clock that may have been set back meanwhile.
  const nanoseconds away = std::max(Now(CLOCK_REALTIME) - *realtime, nanoseconds(0));
  return WriteFile(InitProcess(pod) + "/timens_offsets",
                   Line("monotonic", own.monotonic + *monotonic - Now(CLOCK_MONOTONIC)) +
                       Line("boottime", own.boottime + *boottime + away - Now(CLOCK_BOOTTIME)));
}

}  // namespace holdfast::warden
