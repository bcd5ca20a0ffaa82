#include "coordinator/kin.h"

#include <algorithm>

namespace holdfast::coordinator {

std::vector<std::string> KinOf(const FindKin& find, const std::vector<NodeRecord>& nodes) {
  const auto unfit = std::ranges::find(nodes, find.node, &NodeRecord::name);
  if (unfit == nodes.end() || unfit->features.empty()) return {};
  std::vector<std::string> kin;
  for (const NodeRecord& node : nodes) {
    if (node.features != unfit->features || node.name == find.node) continue;
    if (std::ranges::contains(find.fit, node.name)) return {};
    kin.push_back(node.name);
  }
  return kin;
}

}  // namespace holdfast::coordinator
