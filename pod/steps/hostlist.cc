#include "pod/steps/hostlist.h"

#include <algorithm>

#include "base/numbers.h"

namespace holdfast::pod {
namespace {

constexpr size_t kMaxHosts = 1'000'000;

std::unexpected<Error> Malformed(std::string_view text) {
  return Fail(Code::kInvalid, "'" + std::string(text) + "' is not a list of hosts");
}

std::string Padded(uint64_t number, size_t width) {
  std::string digits = std::to_string(number);
  if (digits.size() < width) digits.insert(0, width - digits.size(), '0');
  return digits;
}

// Up to the next comma outside brackets.
std::string_view TakeItem(std::string_view& rest) {
  size_t end = 0, depth = 0;
  for (; end < rest.size() && (rest[end] != ',' || depth > 0); ++end) {
    if (rest[end] == '[') ++depth;
    if (rest[end] == ']' && depth > 0) --depth;
  }
  const std::string_view item = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return item;
}

bool AddRange(std::string_view range, const std::string& before, std::string_view after,
              std::vector<std::string>& hosts) {
  const size_t dash = range.find('-');
  const std::string_view low = range.substr(0, dash);
  const std::string_view high = dash == std::string_view::npos ? low : range.substr(dash + 1);
  const auto first = ParseNumber<uint64_t>(low), last = ParseNumber<uint64_t>(high);
  if (!first || !last || *last < *first || *last - *first >= kMaxHosts - hosts.size()) return false;
  for (uint64_t more = 0; more <= *last - *first; ++more)
    hosts.push_back(before + Padded(*first + more, low.size()) + std::string(after));
  return true;
}

struct Name {
  std::string_view letters, digits;
};

Name Split(std::string_view host) {
  const size_t end = host.find_last_not_of("0123456789");
  const size_t at = end == std::string_view::npos ? 0 : end + 1;
  return {host.substr(0, at), host.substr(at)};
}

}  // namespace

Result<std::vector<std::string>> ExpandHosts(std::string_view text) {
  std::vector<std::string> hosts;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view item = TakeItem(rest);
    if (item.empty()) continue;
    const size_t open = item.find('['), close = item.find(']');
    if (open == std::string_view::npos && close == std::string_view::npos) {
      if (hosts.size() >= kMaxHosts) return Malformed(text);
      hosts.emplace_back(item);
      continue;
    }
    if (open == std::string_view::npos || close == std::string_view::npos || close < open)
      return Malformed(text);
    const std::string_view after = item.substr(close + 1);
    if (after.find_first_of("[]") != std::string_view::npos) return Malformed(text);
    std::string_view ranges = item.substr(open + 1, close - open - 1);
    while (!ranges.empty())
      if (!AddRange(TakeItem(ranges), std::string(item.substr(0, open)), after, hosts))
        return Malformed(text);
  }
  return hosts;
}

std::string CompressNumbers(const std::vector<uint32_t>& numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size();) {
    size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    text += (text.empty() ? "" : ",") + std::to_string(numbers[i]);
    if (last > i) text += "-" + std::to_string(numbers[last]);
    i = last + 1;
  }
  return text;
}

std::string CompressCounts(const std::vector<uint32_t>& counts) {
  std::string text;
  for (size_t i = 0; i < counts.size();) {
    size_t end = i;
    while (end < counts.size() && counts[end] == counts[i]) ++end;
    text += (text.empty() ? "" : ",") + std::to_string(counts[i]);
    if (end - i > 1) text += "(x" + std::to_string(end - i) + ")";
    i = end;
  }
  return text;
}

std::string CompressHosts(const std::vector<std::string>& hosts) {
  std::string text;
  for (size_t i = 0; i < hosts.size();) {
    const Name name = Split(hosts[i]);
    std::vector<uint64_t> numbers;
    size_t end = i;
    for (; end < hosts.size(); ++end) {
      const Name next = Split(hosts[end]);
      const auto number = ParseNumber<uint64_t>(next.digits);
      if (next.letters != name.letters || next.digits.size() != name.digits.size() || !number)
        break;
      numbers.push_back(*number);
    }
    if (!text.empty()) text += ",";
    if (numbers.size() < 2) {
      text += hosts[i++];
      continue;
    }
    std::string ranges;
    for (size_t at = 0; at < numbers.size();) {
      size_t last = at;
      while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
      ranges += (ranges.empty() ? "" : ",") + Padded(numbers[at], name.digits.size());
      if (last > at) ranges += "-" + Padded(numbers[last], name.digits.size());
      at = last + 1;
    }
    text += std::string(name.letters) + "[" + ranges + "]";
    i = end;
  }
  return text;
}

}  // namespace holdfast::pod
