#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <ranges>
#include <regex>

#include "base/duration.h"
#include "config/keys.h"
#include "protocol/job_options.h"
#include "storage/urls/urls.h"

namespace holdfast::config {
namespace {

constexpr std::array<std::pair<std::string_view, int64_t>, 4> kSizeUnits{
    {{"TiB", 1LL << 40}, {"GiB", 1LL << 30}, {"MiB", 1LL << 20}, {"KiB", 1LL << 10}}};
constexpr std::array<std::pair<std::string_view, int64_t>, 4> kTimeUnits{
    {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}}};

constexpr std::string_view kAuto = "auto";

constexpr std::array kProviders = {
    kAuto,
    std::string_view("none"),
#define HOLDFAST_PROVIDER(name) std::string_view(#name),
#include "warden/notices/providers.inc"
#undef HOLDFAST_PROVIDER
};

constexpr std::array<std::string_view, 2> kRestores{"lazy", "eager"};
constexpr std::array<std::string_view, 3> kWriteTrackings{"auto", "off", "verify"};
constexpr std::array<std::string_view, 2> kOutsideNetworks{"nat", "none"};

constexpr std::array<std::string_view, 2> kSwitches{"on", "off"};
constexpr std::array<std::string_view, 2> kCancelledJobs{"continue", "end"};

std::optional<int64_t> ParseInteger(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<int64_t> ParseSize(std::string_view text) {
  for (const auto& [unit, factor] : kSizeUnits) {
    if (!text.ends_with(unit)) continue;
    text.remove_suffix(unit.size());
    const auto number = ParseInteger(text);
    if (!number || *number < 0 || *number > INT64_MAX / factor) return std::nullopt;
    return *number * factor;
  }
  return ParseInteger(text);
}

std::optional<int64_t> ParseSeconds(std::string_view text) {
  const auto duration = ParseDuration(text);
  if (!duration) return std::nullopt;
  return duration->count();
}

// In the largest of the units that divides it, which both tables list first.
std::string InUnits(int64_t value, std::span<const std::pair<std::string_view, int64_t>> units) {
  for (const auto& [unit, factor] : units)
    if (value != 0 && value % factor == 0) return fmt::format("{}{}", value / factor, unit);
  return fmt::format("{}{}", value, units.back().second == 1 ? units.back().first : "");
}

std::string NumberText(Kind kind, int64_t value) {
  if (kind == Kind::kSize) return InUnits(value, kSizeUnits);
  if (kind == Kind::kDuration || kind == Kind::kInterval) return InUnits(value, kTimeUnits);
  if (kind == Kind::kLevel && value == kAutomatic) return std::string(kAuto);
  return fmt::format("{}", value);
}

bool IsNumber(Kind kind) {
  return kind == Kind::kPort || kind == Kind::kCount || kind == Kind::kLevel ||
         kind == Kind::kSize || kind == Kind::kDuration || kind == Kind::kInterval;
}

std::optional<int64_t> ParseByKind(Kind kind, std::string_view text) {
  if (kind == Kind::kSize) return ParseSize(text);
  if (kind == Kind::kInterval && text == kAutoInterval) return 0;
  if (kind == Kind::kDuration || kind == Kind::kInterval) return ParseSeconds(text);
  return ParseInteger(text);
}

// "A.B.C.D/N" with no bit set beyond the prefix.
bool IsSubnet(std::string_view text, int64_t min_prefix, int64_t max_prefix) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return false;
  const auto prefix = ParseInteger(text.substr(slash + 1));
  in_addr address{};
  if (!prefix || *prefix < min_prefix || *prefix > max_prefix ||
      inet_pton(AF_INET, std::string(text.substr(0, slash)).c_str(), &address) != 1)
    return false;
  return (ntohl(address.s_addr) & (0xffffffffU >> *prefix)) == 0;
}

bool AreNetworks(std::string_view text, int64_t min_prefix, int64_t max_prefix) {
  return std::ranges::all_of(std::views::split(text, ','), [&](const auto& network) {
    return IsSubnet(std::string_view(network), min_prefix, max_prefix);
  });
}

// The one place where std::regex throws for what a person wrote.
bool IsPattern(std::string_view text) {
  try {
    const std::regex pattern(text.begin(), text.end(), std::regex::extended);
    return true;
  } catch (const std::regex_error&) {
    return false;
  }
}

bool IsText(const Key& key, std::string_view text) {
  if (key.kind == Kind::kPattern) return !text.empty() && IsPattern(text);
  if (text.empty() || text.find_first_of(" \t\n") != std::string_view::npos) return false;
  switch (key.kind) {
    case Kind::kPath:
      return text.starts_with('/');
    case Kind::kPaths:
      return text == kNoPaths || std::ranges::all_of(ListOf(text), [](const std::string& path) {
               return path.starts_with('/') && !path.ends_with('/');
             });
    case Kind::kCommand:
      return text.starts_with('/') || text.find('/') == std::string_view::npos;
    case Kind::kDirectory:
      return text.starts_with("%h") || storage::BeginsLikeUrl(text);
    case Kind::kSubnet:
      return IsSubnet(text, key.min, key.max);
    case Kind::kNetworks:
      return AreNetworks(text, key.min, key.max);
    case Kind::kOutsideNetwork:
      return std::ranges::contains(kOutsideNetworks, text);
    case Kind::kUrl:
      return text.starts_with("http://") || text.starts_with("https://");
    case Kind::kProvider:
      return std::ranges::contains(kProviders, text);
    case Kind::kRestore:
      return std::ranges::contains(kRestores, text);
    case Kind::kWriteTracking:
      return std::ranges::contains(kWriteTrackings, text);
    case Kind::kFallback:
      return ParseFallback(text).has_value();
    case Kind::kSwitch:
      return std::ranges::contains(kSwitches, text);
    case Kind::kCancelledJobs:
      return std::ranges::contains(kCancelledJobs, text);
    default:
      return true;
  }
}

struct Assign {
  std::string_view text;
  int64_t number;
  void operator()(std::string* target) const { *target = text; }
  void operator()(std::chrono::seconds* target) const { *target = std::chrono::seconds(number); }
  void operator()(Interval* target) const {
    *target = {.every = std::chrono::seconds(number), .automatic = text == kAutoInterval};
  }
  template <typename T>
  void operator()(T* target) const {
    *target = static_cast<T>(number);
  }
};

struct Text {
  Kind kind;
  std::string operator()(const std::string* value) const { return *value; }
  std::string operator()(const std::chrono::seconds* value) const {
    return NumberText(kind, value->count());
  }
  std::string operator()(const Interval* value) const {
    return value->automatic ? std::string(kAutoInterval) : NumberText(kind, value->every.count());
  }
  template <typename T>
  std::string operator()(const T* value) const {
    return NumberText(kind, static_cast<int64_t>(*value));
  }
};

}  // namespace

std::string Accepted(const Key& key) {
  const auto range = [&key](std::string_view what) {
    return fmt::format("{}, {} to {}", what, NumberText(key.kind, key.min),
                       NumberText(key.kind, key.max));
  };
  switch (key.kind) {
    case Kind::kText:
      return "a word";
    case Kind::kPath:
      return "an absolute path";
    case Kind::kCommand:
      return "a name in PATH or an absolute path";
    case Kind::kDirectory:
      return storage::AcceptedUrls();
    case Kind::kPort:
      return range("a port");
    case Kind::kCount:
      return range("a number");
    case Kind::kLevel:
      return range(fmt::format("{}, or a number", kAuto));
    case Kind::kSize:
      return range("a size");
    case Kind::kDuration:
      return range("a duration");
    case Kind::kInterval:
      return range("auto, or a duration");
    case Kind::kSubnet:
      return fmt::format("an IPv4 network, prefix {} to {}", key.min, key.max);
    case Kind::kPaths:
      return fmt::format(
          "absolute paths such as /scratch, without a slash at the end, with commas; or {}",
          kNoPaths);
    case Kind::kNetworks:
      return "IPv4 networks such as 10.1.0.0/16, with commas";
    case Kind::kOutsideNetwork:
      return fmt::format("one of {}", fmt::join(kOutsideNetworks, ", "));
    case Kind::kUrl:
      return "a URL, http:// or https://";
    case Kind::kProvider:
      return fmt::format("one of {}", fmt::join(kProviders, ", "));
    case Kind::kRestore:
      return fmt::format("one of {}", fmt::join(kRestores, ", "));
    case Kind::kWriteTracking:
      return fmt::format("one of {}", fmt::join(kWriteTrackings, ", "));
    case Kind::kFallback:
      return fmt::format("one of {}", fmt::join(kFallbackNames, ", "));
    case Kind::kSwitch:
      return fmt::format("one of {}", fmt::join(kSwitches, ", "));
    case Kind::kCancelledJobs:
      return fmt::format("one of {}", fmt::join(kCancelledJobs, ", "));
    case Kind::kPattern:
      return "an extended regular expression";
  }
  std::unreachable();
}

Status SetValue(const Key& key, std::string_view text, Config& config) {
  int64_t number = 0;
  bool valid = false;
  if (key.kind == Kind::kLevel && text == kAuto) {
    number = kAutomatic;
    valid = true;
  } else if (IsNumber(key.kind)) {
    const auto parsed = ParseByKind(key.kind, text);
    number = parsed.value_or(0);
    valid = parsed && number >= key.min && number <= key.max;
  } else {
    const bool unset = text.empty() && ValueText(key, Config{}).empty();
    valid = unset || IsText(key, text);
  }
  if (!valid)
    return Fail(Code::kInvalid, fmt::format("'{}' is not accepted for {}.{}: expected {}", text,
                                            key.section, key.name, Accepted(key)));
  std::visit(Assign{text, number}, key.target(config));
  return {};
}

std::string ValueText(const Key& key, Config config) {
  return std::visit(Text{key.kind}, key.target(config));
}

}  // namespace holdfast::config
