#include "pod/steps/allocator.h"

#include <algorithm>
#include <numeric>

#include "base/numbers.h"
#include "pod/mpi_environment.h"
#include "pod/steps/environment.h"
#include "pod/steps/layout.h"

namespace holdfast::pod {
namespace {

// slurm_errno.c of Slurm 24.11.
constexpr const char* kTooManyCpus = "More processors requested than permitted";
constexpr const char* kNotAvailable = "Requested node configuration is not available";
constexpr const char* kBusy = "Requested nodes are busy";
constexpr const char* kNoMemory = "Memory required by task is not available";
constexpr const char* kBadNodeCount = "Node count specification invalid";

uint32_t CpusPerTask(const StepRequest& request) { return std::max(request.cpus_per_task, 1U); }

// How many CPUs the step's nodes must have together.
uint32_t CpusNeeded(const StepRequest& request) {
  return request.overcommit ? request.min_nodes : request.tasks * CpusPerTask(request);
}

bool Names(const std::vector<std::string>& hosts, const std::string& host) {
  return std::ranges::find(hosts, host) != hosts.end();
}

uint32_t DivideUp(uint32_t number, size_t by) {
  return (number + static_cast<uint32_t>(by) - 1) / static_cast<uint32_t>(by);
}

}  // namespace

std::vector<NodeResources> ResourcesOf(const std::vector<std::string>& environment,
                                       const std::vector<std::string>& hosts) {
  std::vector<NodeResources> nodes;
  const auto number = [&](std::string_view name) {
    return ParseNumber<uint64_t>(Variable(environment, name).value_or("")).value_or(0);
  };
  const auto cpus = ParseCounts(Variable(environment, "SLURM_JOB_CPUS_PER_NODE").value_or(""));
  for (size_t i = 0; i < hosts.size(); ++i) {
    NodeResources node{.host = hosts[i]};
    if (cpus && cpus->size() == hosts.size()) node.cpus = std::max((*cpus)[i], 1U);
    node.memory_mb = number("SLURM_MEM_PER_NODE");
    if (node.memory_mb == 0) node.memory_mb = number("SLURM_MEM_PER_CPU") * node.cpus;
    nodes.push_back(std::move(node));
  }
  return nodes;
}

Allocator::Allocator(const std::vector<NodeResources>& nodes) {
  for (const NodeResources& node : nodes) nodes_.push_back({.has = node, .steps = {}});
}

uint32_t Allocator::Node::BusyCpus() const {
  uint32_t busy = 0;
  for (const auto& [step, use] : steps) busy += static_cast<uint32_t>(use.cpus.size());
  return std::min(busy, has.cpus);
}

uint64_t Allocator::Node::BusyMemory() const {
  uint64_t busy = 0;
  for (const auto& [step, use] : steps) busy += use.memory_mb;
  return std::min(busy, has.memory_mb);
}

std::optional<Refusal> Allocator::CheckForEver(const StepRequest& request) const {
  const auto never = [](const char* why) { return Refusal{.for_ever = true, .reason = why}; };
  if (request.max_nodes < request.min_nodes) return never(kBadNodeCount);
  if (request.relative && *request.relative >= nodes_.size()) return never(kNotAvailable);
  for (const std::string& host : request.hosts)
    if (std::ranges::none_of(nodes_, [&](const Node& node) { return node.has.host == host; }) ||
        Names(request.excluded, host))
      return never(kNotAvailable);
  for (const Node& node : nodes_)
    if (node.has.memory_mb > 0 && request.node_memory_mb > node.has.memory_mb)
      return never(kNoMemory);
  std::vector<uint32_t> idle = Usable(request, true);
  const auto nodes = static_cast<size_t>(std::ranges::count_if(idle, std::identity()));
  if (nodes < request.min_nodes) return never(kNotAvailable);
  std::ranges::sort(idle, std::greater());
  idle.resize(std::min<size_t>(idle.size(), request.max_nodes));
  if (std::accumulate(idle.begin(), idle.end(), 0U) < CpusNeeded(request))
    return never(kTooManyCpus);
  return std::nullopt;
}

std::vector<uint32_t> Allocator::Usable(const StepRequest& request, bool ignore_others) const {
  std::vector<uint32_t> usable;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    uint32_t cpus = node.has.cpus;
    uint64_t memory = node.has.memory_mb;
    if (!request.overlap && !ignore_others) {
      cpus -= node.BusyCpus();
      memory -= node.BusyMemory();
      // Without --exact a step has its nodes' CPUs to itself.
      if (!request.exact && node.BusyCpus() > 0) cpus = 0;
    }
    if (node.has.memory_mb > 0 && request.cpu_memory_mb > 0)
      cpus = static_cast<uint32_t>(std::min<uint64_t>(cpus, memory / request.cpu_memory_mb));
    if (node.has.memory_mb > 0 && memory < request.node_memory_mb) cpus = 0;
    if (Names(request.excluded, node.has.host) || (request.relative && i < *request.relative))
      cpus = 0;
    usable.push_back(cpus);
  }
  return usable;
}

// `count` nodes with `cpus` CPUs together, from next_node_ on; and where the next step begins.
std::optional<std::vector<size_t>> Allocator::PickInTurn(const std::vector<uint32_t>& usable,
                                                         size_t count, uint32_t cpus) {
  std::vector<size_t> turn;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const size_t node = (next_node_ + i) % nodes_.size();
    if (usable[node] > 0) turn.push_back(node);
  }
  if (turn.size() < count) return std::nullopt;
  // Nodes that have what each would have to have go first, the largest of the others after them.
  const uint32_t each = cpus <= count ? 1 : DivideUp(cpus, count);
  std::ranges::stable_sort(turn, std::greater(),
                           [&](size_t node) { return std::min(usable[node], each); });
  turn.resize(count);
  uint32_t total = 0;
  for (const size_t node : turn) total += usable[node];
  if (total < cpus) return std::nullopt;
  if (!turn.empty()) next_node_ = (std::ranges::max(turn) + 1) % nodes_.size();
  return turn;
}

std::variant<std::vector<size_t>, Refusal> Allocator::PickNodes(const StepRequest& request) {
  if (const auto never = CheckForEver(request)) return *never;
  const Refusal busy{.for_ever = false, .reason = kBusy};
  std::vector<uint32_t> usable = Usable(request, false);
  std::vector<size_t> picked;
  uint32_t cpus = CpusNeeded(request);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (!Names(request.hosts, nodes_[i].has.host)) continue;
    if (usable[i] == 0) return busy;
    picked.push_back(i);
    cpus -= std::min(cpus, usable[i]);
    usable[i] = 0;
  }
  if (picked.size() > request.max_nodes) return Refusal{.for_ever = true, .reason = kNotAvailable};

  const auto available = static_cast<uint32_t>(std::ranges::count_if(usable, std::identity()));
  const auto have = static_cast<uint32_t>(picked.size());
  // As many nodes as are there, if that is allowed.
  uint32_t wanted = std::min(std::max(request.min_nodes, request.max_nodes), have + available);
  if (wanted < request.min_nodes) return busy;
  wanted = std::max(wanted, request.min_nodes) - std::min(wanted, have);
  if (request.relative) next_node_ = 0;
  if (wanted > 0) {
    // Nodes without any step first.
    std::vector<uint32_t> idle = usable;
    for (size_t i = 0; i < nodes_.size(); ++i)
      if (!nodes_[i].steps.empty()) idle[i] = 0;
    auto more = PickInTurn(idle, wanted, cpus);
    if (!more) more = PickInTurn(usable, wanted, cpus);
    if (!more) return busy;
    picked.insert(picked.end(), more->begin(), more->end());
  } else if (cpus > 0) {
    return busy;
  }
  std::ranges::sort(picked);
  return picked;
}

std::vector<uint32_t> Allocator::TakeCpus(const Node& node, const StepRequest& request,
                                          uint32_t tasks) const {
  std::vector<uint32_t> all(node.has.cpus);
  std::iota(all.begin(), all.end(), 0U);
  if (!request.exact) return all;
  std::vector<bool> busy(node.has.cpus, false);
  for (const auto& [step, use] : node.steps)
    for (const uint32_t cpu : use.cpus) busy[cpu] = true;
  // Free ones first, for a step that may overlap.
  std::ranges::stable_partition(all, [&](uint32_t cpu) { return !busy[cpu]; });
  all.resize(std::min<size_t>(all.size(), size_t{tasks} * CpusPerTask(request)));
  std::ranges::sort(all);
  return all;
}

StepGrant Allocator::Grant(const StepRequest& request, std::vector<size_t> picked) {
  const std::vector<uint32_t> usable = Usable(request, false);
  const Distribution distribution = ResolveDistribution(request.distribution, request.tasks,
                                                        static_cast<uint32_t>(picked.size()));
  std::vector<std::vector<uint32_t>> numbers(picked.size());
  if (distribution == Distribution::kArbitrary && !request.hosts.empty()) {
    for (uint32_t task = 0; task < request.tasks; ++task)
      for (size_t i = 0; i < picked.size(); ++i)
        if (nodes_[picked[i]].has.host == request.hosts[task % request.hosts.size()])
          numbers[i].push_back(task);
  } else {
    std::vector<uint32_t> room;
    for (const size_t node : picked) {
      uint32_t tasks = usable[node] / CpusPerTask(request);
      if (request.tasks_per_node > 0) tasks = std::min(tasks, request.tasks_per_node);
      room.push_back(tasks);
    }
    numbers = NumberTasks(CountTasks(request.tasks, room, distribution, request.plane_size),
                          distribution, request.plane_size);
  }

  StepGrant grant{.step = next_step_++, .nodes = {}};
  for (size_t i = 0; i < picked.size(); ++i) {
    if (numbers[i].empty()) continue;
    Node& node = nodes_[picked[i]];
    NodeShare share{.pod = static_cast<uint32_t>(picked[i]),
                    .host = node.has.host,
                    .tasks = numbers[i],
                    .cpus = TakeCpus(node, request, static_cast<uint32_t>(numbers[i].size()))};
    if (!request.overlap)
      node.steps[grant.step] = {
          .cpus = share.cpus,
          .memory_mb = request.node_memory_mb + request.cpu_memory_mb * share.cpus.size()};
    grant.nodes.push_back(std::move(share));
  }
  return grant;
}

std::variant<StepGrant, Refusal> Allocator::Allocate(const StepRequest& request) {
  // More CPUs than the nodes asked for have: more nodes, if that is allowed.
  StepRequest wanted = request;
  uint32_t largest = 1;
  for (const Node& node : nodes_) largest = std::max(largest, node.has.cpus);
  wanted.min_nodes = std::max(wanted.min_nodes, DivideUp(CpusNeeded(request), largest));
  if (wanted.max_nodes < wanted.min_nodes && request.max_nodes >= request.min_nodes)
    return Refusal{.for_ever = true, .reason = kTooManyCpus};
  auto picked = PickNodes(wanted);
  if (auto* refusal = std::get_if<Refusal>(&picked)) return *refusal;
  return Grant(wanted, std::get<std::vector<size_t>>(std::move(picked)));
}

void Allocator::Release(uint32_t step) {
  for (Node& node : nodes_) node.steps.erase(step);
}

}  // namespace holdfast::pod
