#include "cli/hostlist.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace holdfast::cli {
namespace {

constexpr size_t kMaxNames = 65536;

std::unexpected<Error> Refuse(std::string_view text) {
  return Fail(
      Code::kInvalid,
      fmt::format("'{}' is no node list; write names and ranges such as n[1-3,7],login01", text));
}

// At commas outside of brackets; brackets that do not pair leave one piece that no name fits.
std::vector<std::string_view> Split(std::string_view text) {
  std::vector<std::string_view> pieces;
  int depth = 0;
  size_t start = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] == '[') ++depth;
    if (i < text.size() && text[i] == ']') --depth;
    if (i == text.size() || (text[i] == ',' && depth == 0)) {
      pieces.push_back(text.substr(start, i - start));
      start = i + 1;
    }
  }
  return pieces;
}

bool IsName(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  });
}

bool ReadNumber(std::string_view text, unsigned long& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// "1-3,7" -> "1", "2", "3", "7"; empty if it is malformed.
std::vector<std::string> ExpandRanges(std::string_view text) {
  std::vector<std::string> numbers;
  for (const std::string_view piece : Split(text)) {
    const size_t dash = piece.find('-');
    const std::string_view first_text = piece.substr(0, dash);
    const std::string_view last_text =
        dash == std::string_view::npos ? first_text : piece.substr(dash + 1);
    unsigned long first = 0;
    unsigned long last = 0;
    if (!ReadNumber(first_text, first) || !ReadNumber(last_text, last) || last < first ||
        last - first >= kMaxNames)
      return {};
    for (unsigned long number = first; number <= last; ++number)
      numbers.push_back(fmt::format("{:0{}}", number, first_text.size()));
  }
  return numbers;
}

}  // namespace

Result<std::vector<std::string>> ExpandHostlist(std::string_view text) {
  std::vector<std::string> names;
  for (const std::string_view piece : Split(text)) {
    const size_t open = piece.find('[');
    if (open == std::string_view::npos) {
      if (piece.empty() || !IsName(piece)) return Refuse(text);
      names.emplace_back(piece);
      continue;
    }
    const size_t close = piece.find(']', open);
    if (close == std::string_view::npos || !IsName(piece.substr(0, open)) ||
        !IsName(piece.substr(close + 1)))
      return Refuse(text);
    const auto numbers = ExpandRanges(piece.substr(open + 1, close - open - 1));
    if (numbers.empty() || names.size() + numbers.size() > kMaxNames) return Refuse(text);
    for (const auto& number : numbers)
      names.push_back(
          fmt::format("{}{}{}", piece.substr(0, open), number, piece.substr(close + 1)));
  }
  return names;
}

}  // namespace holdfast::cli
