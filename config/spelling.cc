#include "config/spelling.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace holdfast::config {

// Levenshtein's distance with swaps, a row at a time.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before, row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    const std::vector<size_t> last = std::move(row);
    row.assign(b.size() + 1, i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = last;
  }
  return row.back();
}

std::optional<std::string> ClosestWord(std::string_view word, const std::set<std::string>& words) {
  // One slip in three letters is a slip; more is another word.
  size_t best = word.size() / 3 + 1;
  std::optional<std::string> closest;
  for (const auto& candidate : words) {
    const size_t distance = EditDistance(word, candidate);
    if (distance < best) {
      best = distance;
      closest = candidate;
    }
  }
  return closest;
}

}  // namespace holdfast::config
