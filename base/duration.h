// Durations as people write them to Slurm, and as Holdfast prints them.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace holdfast {

// "90" (minutes), "90:30" (minutes:seconds), "1:30:00", "1-12", "1-12:30", "1-12:30:15" as
// sbatch(1) describes --time, and also "45s", "10m", "2h", "1d". Fails with kInvalid, naming what
// is accepted.
Result<std::chrono::seconds> ParseDuration(std::string_view text);

// How often something is done: each time so long after the last, or never, or as Holdfast chooses.
struct Interval {
  std::chrono::seconds every{0};
  bool automatic = false;

  bool operator==(const Interval&) const = default;
};
inline constexpr std::string_view kAutoInterval = "auto";  // how people write the latter

// "0.25 s", "12 s", "3 min 5 s", "2 h 10 min": for people.
std::string FormatDuration(std::chrono::nanoseconds duration);
// "2.0 GiB": for people.
std::string FormatBytes(unsigned long long size_bytes);
// "2026-01-31T12:00:00.123Z".
std::string FormatTimestamp(std::chrono::system_clock::time_point time);

}  // namespace holdfast
