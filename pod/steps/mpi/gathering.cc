#include "pod/steps/mpi/gathering.h"

namespace holdfast::pod {

std::optional<Gathering::Complete> Gathering::Add(uint32_t node, Contribution contribution) {
  const auto [entry, is_new] = open_.try_emplace(contribution.name);
  Open& open = entry->second;
  if (is_new) {
    for (const uint32_t each : contribution.nodes)
      if (each < nodes_) open.parts[each];
    for (uint32_t each = 0; contribution.nodes.empty() && each < nodes_; ++each) open.parts[each];
    open.missing = open.parts.size();
  }
  const auto part = open.parts.find(node);
  if (part != open.parts.end() && !part->second) {
    part->second = std::move(contribution.data);
    --open.missing;
  }
  if (open.missing > 0) return std::nullopt;
  Complete complete;
  complete.gathered.name = entry->first;
  for (auto& [each, data] : open.parts) {
    complete.nodes.push_back(each);
    complete.gathered.data += *data;
  }
  open_.erase(entry);
  return complete;
}

}  // namespace holdfast::pod
