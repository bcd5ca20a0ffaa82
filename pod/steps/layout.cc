#include "pod/steps/layout.h"

#include <algorithm>

namespace holdfast::pod {

std::vector<uint32_t> CountTasks(uint32_t tasks, const std::vector<uint32_t>& room,
                                 Distribution distribution, uint32_t plane_size) {
  std::vector<uint32_t> counts(room.size(), 0);
  if (room.empty()) return counts;
  // Also for blocks: nodes of different sizes get as many each as in turns, then in a row.
  const uint32_t turn = distribution == Distribution::kPlane ? std::max(plane_size, 1U) : 1;
  bool limited = true;
  for (uint32_t left = tasks; left > 0;) {
    const uint32_t before = left;
    for (size_t node = 0; node < room.size() && left > 0; ++node) {
      uint32_t more = std::min(turn, left);
      if (limited) more = std::min(more, room[node] - std::min(room[node], counts[node]));
      counts[node] += more;
      left -= more;
    }
    if (left == before) limited = false;
  }
  return counts;
}

std::vector<std::vector<uint32_t>> NumberTasks(const std::vector<uint32_t>& counts,
                                               Distribution distribution, uint32_t plane_size) {
  std::vector<std::vector<uint32_t>> numbers(counts.size());
  uint32_t next = 0;
  if (distribution == Distribution::kBlock || distribution == Distribution::kUnset) {
    for (size_t node = 0; node < counts.size(); ++node)
      for (uint32_t i = 0; i < counts[node]; ++i) numbers[node].push_back(next++);
    return numbers;
  }
  const uint32_t turn = distribution == Distribution::kPlane ? std::max(plane_size, 1U) : 1;
  for (bool more = true; more;) {
    more = false;
    for (size_t node = 0; node < counts.size(); ++node)
      for (uint32_t i = 0; i < turn && numbers[node].size() < counts[node]; ++i) {
        numbers[node].push_back(next++);
        more = true;
      }
  }
  return numbers;
}

Distribution ResolveDistribution(Distribution wanted, uint32_t tasks, uint32_t nodes) {
  if (wanted != Distribution::kUnset) return wanted;
  return tasks <= nodes ? Distribution::kCyclic : Distribution::kBlock;
}

}  // namespace holdfast::pod
