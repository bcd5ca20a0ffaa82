#include "base/duration.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <optional>
#include <vector>

namespace holdfast {
namespace {

// Ten years: far above any time limit, far below any overflow.
constexpr long kMaxSeconds = 10L * 366 * 24 * 3600;

std::optional<long> ParseNumber(std::string_view text) {
  long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text[0] == '-' || error != std::errc() || end != text.data() + text.size() ||
      value > kMaxSeconds)
    return std::nullopt;
  return value;
}

std::optional<long> ParseWithUnit(std::string_view text) {
  constexpr std::array<std::pair<char, long>, 4> kUnits{
      {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}}};
  for (const auto& [unit, seconds] : kUnits) {
    if (!text.empty() && text.back() == unit) {
      const auto number = ParseNumber(text.substr(0, text.size() - 1));
      if (number) return *number * seconds;
    }
  }
  return std::nullopt;
}

std::optional<long> ParseSlurmTime(std::string_view text) {
  long days = 0;
  const size_t dash = text.find('-');
  const bool has_days = dash != std::string_view::npos;
  if (has_days) {
    const auto number = ParseNumber(text.substr(0, dash));
    if (!number) return std::nullopt;
    days = *number;
    text.remove_prefix(dash + 1);
  }
  std::vector<long> fields;
  while (true) {
    const size_t colon = text.find(':');
    const auto number = ParseNumber(text.substr(0, colon));
    if (!number) return std::nullopt;
    fields.push_back(*number);
    if (colon == std::string_view::npos) break;
    text.remove_prefix(colon + 1);
  }
  if (fields.size() > 3) return std::nullopt;
  // With days the fields are hours[:minutes[:seconds]]; without, minutes, minutes:seconds or all
  // three.
  constexpr std::array<long, 3> kFromHours{3600, 60, 1};
  const size_t first = has_days || fields.size() == 3 ? 0 : 1;
  long seconds = days * 86400;
  for (size_t i = 0; i < fields.size(); ++i) seconds += fields[i] * kFromHours[first + i];
  return seconds;
}

std::string FormatDecimal(const char* format, double value) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

}  // namespace

Result<std::chrono::seconds> ParseDuration(std::string_view text) {
  auto seconds = ParseWithUnit(text);
  if (!seconds) seconds = ParseSlurmTime(text);
  if (!seconds || *seconds > kMaxSeconds)
    return Fail(Code::kInvalid,
                "'" + std::string(text) +
                    "' is not a time: write minutes, minutes:seconds, hours:minutes:seconds, "
                    "days-hours[:minutes[:seconds]], or a number with s, m, h or d");
  return std::chrono::seconds(*seconds);
}

std::string FormatDuration(std::chrono::nanoseconds duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  if (seconds < 10) return FormatDecimal("%.2f", seconds) + " s";
  const long whole = static_cast<long>(seconds + 0.5);
  if (whole < 120) return std::to_string(whole) + " s";
  if (whole < 7200) return std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s";
  return std::to_string(whole / 3600) + " h " + std::to_string(whole % 3600 / 60) + " min";
}

std::string FormatBytes(unsigned long long size_bytes) {
  constexpr std::array<const char*, 5> kUnits{"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (size_bytes < 1024) return std::to_string(size_bytes) + " B";
  double value = static_cast<double>(size_bytes) / 1024;
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return FormatDecimal("%.1f", value) + " " + kUnits[unit];
}

std::string FormatTimestamp(std::chrono::system_clock::time_point time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(time) - seconds;
  const time_t unix_seconds = std::chrono::system_clock::to_time_t(seconds);
  tm utc = {};
  ::gmtime_r(&unix_seconds, &utc);
  char text[64];
  const size_t length = std::strftime(text, sizeof text, "%FT%T", &utc);
  std::snprintf(text + length, sizeof text - length, ".%03dZ", static_cast<int>(ms.count()));
  return text;
}

}  // namespace holdfast
