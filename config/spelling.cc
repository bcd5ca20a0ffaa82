#include "config/spelling.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace holdfast::config {

// Levenshtein's distance, a row at a time.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
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
