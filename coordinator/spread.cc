// A job's pods on another number of nodes than it began on: what Slurm is asked for, and what is
// done when it gives that (docs/adr/0035).
#include "coordinator/spread.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

// Bits of a VNI that say which of a node's pods it is for (kVniSlotShift of warden/isolation).
constexpr uint32_t kMostOnANode = 16;

// Pods of each node, when so many are on that many nodes; of the fullest.
uint32_t OnEach(uint32_t pods, uint32_t nodes) { return (pods + nodes - 1) / nodes; }

v1::ToWarden MakeRegroup(uint32_t pods) {
  v1::ToWarden message;
  message.mutable_regroup()->set_pods(pods);
  return message;
}

}  // namespace

size_t CountNodes(const Job& job) {
  return std::set<std::string>(job.nodes().begin(), job.nodes().end()).size();
}

std::optional<std::string> WhyNotOn(const Job& job, uint32_t nodes) {
  if (nodes == 0) return std::nullopt;
  if (job.pod_count == 0) return "it has not begun: scontrol update JobId=... NumNodes=...";
  if (nodes > job.pod_count)
    return fmt::format("it began on {} nodes, and can be spread over no more", job.pod_count);
  if (OnEach(job.pod_count, nodes) > kMostOnANode)
    return fmt::format("{} parts of it on {} nodes are more than {} on a node", job.pod_count,
                       nodes, kMostOnANode);
  return std::nullopt;
}

std::optional<Demand> DemandOf(const Spread& spread, const Record& record) {
  const uint32_t pods = spread.pods;
  if (pods == 0 || record.min_nodes == 0) return std::nullopt;
  if (spread.nodes == 0) {
    // Nodes beyond its pods would have nothing to do.
    const bool may_get_more = record.max_nodes == 0 || record.max_nodes > pods;
    if (!may_get_more || record.min_nodes > pods) return std::nullopt;
    return Demand{.min_nodes = record.min_nodes, .max_nodes = pods};
  }
  // Not by the record's own number: while a job waits, Slurm shows how many nodes it expects to
  // take.
  const uint32_t present = spread.before != 0 ? spread.before : pods;
  if (spread.nodes == present) return std::nullopt;
  // What each node has to have follows the number of pods on it.
  const uint32_t before = OnEach(pods, present);
  const uint32_t after = OnEach(pods, spread.nodes);
  const auto scaled = [&](auto amount) { return (amount * after + before - 1) / before; };
  return Demand{.min_nodes = spread.nodes,
                .max_nodes = spread.nodes,
                .node_memory_mb = scaled(record.node_memory_mb),
                .tasks_per_node = scaled(record.tasks_per_node)};
}

void AskForNodes(Turn& turn) {
  Job& job = turn.job;
  // One that is not restored begins on whatever Slurm gives it.
  if (job.newest() == 0 || job.pod_count == 0 || job.request.from_start) return;
  const Spread spread{.pods = job.pod_count, .nodes = job.request.nodes, .before = job.asked_nodes};
  if (spread.nodes != 0) job.asked_nodes = spread.nodes;
  // By itself, for Slurm may refuse it.
  turn.Do(Amend{.spread = spread});
}

void Regroup(Turn& turn) {
  Job& job = turn.job;
  const uint32_t pods = job.pod_count;
  if (const auto why = WhyNotOn(job, std::min<uint32_t>(pods, job.pods.size())))
    return Hold(turn, *why);
  turn.Mark("regrouped", 0, fmt::format("{} parts on {} nodes", pods, job.pods.size()));
  turn.TellAll(MakeRegroup(pods));
  job.pods = std::vector<Pod>(pods);
  job.start.nodes = std::vector<std::string>(pods);
  turn.Enter(Stage::kGathering, turn.policy.gather_timeout);
}

bool RegroupsAgain(Turn& turn, const v1::Hello& hello) {
  const Job& job = turn.job;
  if (hello.phase() != v1::PHASE_FRESH || job.pod_count == 0 || job.pods.size() != job.pod_count ||
      hello.pods() == job.pod_count || hello.restart_count() != job.start.restart_count)
    return false;
  for (const auto& message : {CredentialOnly(), MakeRegroup(job.pod_count)})
    turn.Do(Send{hello.pod(), std::make_shared<const v1::ToWarden>(message)});
  return true;
}

}  // namespace holdfast::coordinator
