#include "coordinator/evacuations.h"

namespace holdfast::coordinator {
namespace {

// A node that Slurm did not drain in this time will not be: what was to be saved has been.
constexpr int64_t kDrainPatienceNs = 300'000'000'000;

}  // namespace

Wish WishOf(const Evacuation& evacuation) {
  return {.reason = evacuation.cause,
          .stop = true,
          .excluded = {evacuation.node},
          .begun_ns = evacuation.begun_ns,
          .deadline_unix_ms = evacuation.deadline_unix_ms};
}

void Evacuations::Watch(const std::string& pattern) {
  pattern_ =
      pattern.empty() ? nullptr : std::make_unique<const std::regex>(pattern, std::regex::extended);
}

void Evacuations::Begin(const Evacuation& evacuation) {
  const auto [entry, added] = nodes_.try_emplace(evacuation.node, evacuation);
  if (added) return;
  const bool drained = entry->second.drained || evacuation.drained;
  entry->second = evacuation;
  entry->second.drained = drained;
}

const Evacuation* Evacuations::Find(const std::string& node) const {
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? nullptr : &found->second;
}

std::vector<Evacuation> Evacuations::List() const {
  std::vector<Evacuation> all;
  for (const auto& [node, evacuation] : nodes_) all.push_back(evacuation);
  return all;
}

Evacuations::Findings Evacuations::Consider(const std::vector<NodeRecord>& records,
                                            int64_t now_ns) {
  Findings findings;
  for (const NodeRecord& record : records) {
    const auto found = nodes_.find(record.name);
    if (found == nodes_.end()) {
      if (!pattern_ || !record.draining || !std::regex_search(record.reason, *pattern_)) continue;
      const Evacuation evacuation{.node = record.name,
                                  .cause = Reason::kEvacuate,
                                  .reason = record.reason,
                                  .begun_ns = now_ns,
                                  .drained = true};
      nodes_.emplace(record.name, evacuation);
      findings.begun.push_back(evacuation);
      continue;
    }
    Evacuation& evacuation = found->second;
    if (record.draining) {
      evacuation.drained = true;
    } else if (evacuation.drained || now_ns - evacuation.begun_ns > kDrainPatienceNs) {
      nodes_.erase(found);
    } else {
      findings.undrained.push_back(evacuation);
    }
  }
  return findings;
}

}  // namespace holdfast::coordinator
