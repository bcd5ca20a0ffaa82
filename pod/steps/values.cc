#include "pod/steps/values.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/files.h"
#include "base/numbers.h"

namespace holdfast::pod {

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

std::vector<std::string> SplitAt(std::string_view text, char separator) {
  std::vector<std::string> items;
  while (true) {
    const size_t end = text.find(separator);
    items.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return items;
    text.remove_prefix(end + 1);
  }
}

std::optional<uint32_t> ParseCount(std::string_view text) {
  uint64_t factor = 1;
  if (!text.empty() && (text.back() == 'k' || text.back() == 'K')) {
    factor = 1024;
    text.remove_suffix(1);
  }
  const auto number = ParseNumber<uint32_t>(text);
  if (!number || *number * factor > UINT32_MAX) return std::nullopt;
  return static_cast<uint32_t>(*number * factor);
}

std::optional<uint64_t> ParseMegabytes(std::string_view text) {
  std::string lower = Lower(text);
  if (lower.ends_with('b')) lower.pop_back();
  constexpr std::string_view kUnits = "kmgt";
  const size_t unit = lower.empty() ? std::string_view::npos : kUnits.find(lower.back());
  if (unit != std::string_view::npos) lower.pop_back();
  const auto number = ParseNumber<uint64_t>(lower);
  if (!number || *number > UINT64_MAX >> 30) return std::nullopt;
  if (unit == std::string_view::npos) return *number;
  return unit == 0 ? (*number + 1023) / 1024 : *number << (10 * (unit - 1));
}

std::optional<uint32_t> ParseLimitSeconds(std::string_view text) {
  const std::string lower = Lower(text);
  if (lower == "infinite" || lower == "unlimited" || lower == "-1") return 0;
  uint64_t days = 0;
  const size_t dash = text.find('-');
  if (dash != std::string_view::npos) {
    const auto number = ParseNumber<uint32_t>(text.substr(0, dash));
    if (!number) return std::nullopt;
    days = *number;
    text.remove_prefix(dash + 1);
  }
  std::vector<uint64_t> parts;
  for (const std::string& part : SplitAt(text, ':')) {
    const auto number = ParseNumber<uint32_t>(part);
    if (!number) return std::nullopt;
    parts.push_back(*number);
  }
  if (parts.size() > 3) return std::nullopt;
  // Behind days the first is hours; otherwise one or two are minutes and seconds.
  const bool hours_first = dash != std::string_view::npos || parts.size() == 3;
  parts.resize(hours_first ? 3 : 2);
  const uint64_t seconds = days * 86400 + (hours_first ? parts[0] * 3600 + parts[1] * 60 + parts[2]
                                                       : parts[0] * 60 + parts[1]);
  if (seconds > UINT32_MAX) return std::nullopt;
  return static_cast<uint32_t>(seconds);
}

std::optional<int> ParseSignal(std::string_view text) {
  if (const auto number = ParseNumber<int>(text))
    return *number > 0 && *number < NSIG ? number : std::nullopt;
  std::string name;
  for (const char c : text) name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (name.starts_with("SIG")) name.erase(0, 3);
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* const abbreviation = ::sigabbrev_np(signal);
    if (abbreviation && name == abbreviation) return signal;
  }
  return std::nullopt;
}

std::optional<std::string> ReadHostFile(const std::string& path) {
  const auto contents = ReadFile(path);
  if (!contents) return std::nullopt;
  std::string hosts;
  for (const std::string& line : SplitAt(*contents, '\n')) {
    std::string word;
    for (const char c : line.substr(0, line.find('#')))
      if (!std::isspace(static_cast<unsigned char>(c))) word += c;
    if (word.empty()) continue;
    // "n1*2" names it twice.
    uint32_t times = 1;
    if (const size_t star = word.find('*'); star != std::string::npos) {
      times = ParseCount(word.substr(star + 1)).value_or(1);
      word.resize(star);
    }
    for (; times > 0; --times) hosts += (hosts.empty() ? "" : ",") + word;
  }
  if (hosts.empty()) return std::nullopt;
  return hosts;
}

std::optional<int> LimitNamed(std::string_view name) {
  struct Named {
    std::string_view name;
    int resource;
  };
  // Those that Slurm propagates.
  constexpr std::array<Named, 10> kNames{{{"CPU", RLIMIT_CPU},
                                          {"FSIZE", RLIMIT_FSIZE},
                                          {"DATA", RLIMIT_DATA},
                                          {"STACK", RLIMIT_STACK},
                                          {"CORE", RLIMIT_CORE},
                                          {"RSS", RLIMIT_RSS},
                                          {"NPROC", RLIMIT_NPROC},
                                          {"NOFILE", RLIMIT_NOFILE},
                                          {"MEMLOCK", RLIMIT_MEMLOCK},
                                          {"AS", RLIMIT_AS}}};
  std::string upper;
  for (const char c : name) upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (upper.starts_with("RLIMIT_")) upper.erase(0, 7);
  const auto found = std::ranges::find(kNames, upper, &Named::name);
  if (found == kNames.end()) return std::nullopt;
  return found->resource;
}

std::optional<std::string> BadLimitName(std::string_view list) {
  for (const std::string& name : SplitAt(list, ','))
    if (Lower(name) != "all" && Lower(name) != "none" && !LimitNamed(name)) return name;
  return std::nullopt;
}

std::optional<std::vector<uint32_t>> ParseMask(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  constexpr size_t kMaxDigits = 2048;
  if (text.empty() || text.size() > kMaxDigits) return std::nullopt;
  std::vector<uint32_t> cpus;
  for (size_t i = 0; i < text.size(); ++i) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const size_t digit = kDigits.find(Lower(text.substr(text.size() - 1 - i, 1)));
    if (digit == std::string_view::npos) return std::nullopt;
    for (uint32_t bit = 0; bit < 4; ++bit)
      if (digit >> bit & 1) cpus.push_back(static_cast<uint32_t>(4 * i) + bit);
  }
  return cpus;
}

std::string FormatMask(const std::vector<uint32_t>& cpus) {
  std::string digits = "0";
  for (const uint32_t cpu : cpus) {
    if (digits.size() <= cpu / 4) digits.resize(cpu / 4 + 1, '0');
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    char& digit = digits[cpu / 4];
    digit = kDigits[kDigits.find(digit) | 1U << cpu % 4];
  }
  std::ranges::reverse(digits);
  return "0x" + digits;
}

}  // namespace holdfast::pod
