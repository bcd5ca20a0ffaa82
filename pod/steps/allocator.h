// What the job's running steps use of its nodes, and where the next one goes: the rules of
// slurmctld's step manager (Slurm 24.11, src/stepmgr). In pod 0's root, which is the one place that
// knows of all steps; one thread.
#pragma once

#include <map>
#include <optional>
#include <variant>
#include <vector>

#include "pod/steps/messages.h"

namespace holdfast::pod {

struct NodeResources {
  std::string host;
  uint32_t cpus = 1;
  uint64_t memory_mb = 0;  // 0: the job has no limit
};

// What Slurm gave the job, from the batch script's environment: one entry a pod.
std::vector<NodeResources> ResourcesOf(const std::vector<std::string>& environment,
                                       const std::vector<std::string>& hosts);

// Why a step is not there: it waits for others' end, or never can be.
struct Refusal {
  bool for_ever = false;
  std::string reason;  // Slurm's words
};

class Allocator {
 public:
  explicit Allocator(const std::vector<NodeResources>& nodes);

  // Takes what the step needs, until Release.
  std::variant<StepGrant, Refusal> Allocate(const StepRequest& request);
  void Release(uint32_t step);

 private:
  struct Use {
    std::vector<uint32_t> cpus;
    uint64_t memory_mb = 0;
  };
  struct Node {
    NodeResources has;
    std::map<uint32_t, Use> steps;  // by number; overlapping ones do not count
    uint32_t BusyCpus() const;
    uint64_t BusyMemory() const;
  };

  std::optional<Refusal> CheckForEver(const StepRequest& request) const;
  // CPUs that the step could have of each node now; none of those that it may not use.
  std::vector<uint32_t> Usable(const StepRequest& request, bool ignore_others) const;
  std::variant<std::vector<size_t>, Refusal> PickNodes(const StepRequest& request);
  std::optional<std::vector<size_t>> PickInTurn(const std::vector<uint32_t>& usable, size_t count,
                                                uint32_t cpus);
  StepGrant Grant(const StepRequest& request, std::vector<size_t> picked);
  std::vector<uint32_t> TakeCpus(const Node& node, const StepRequest& request,
                                 uint32_t tasks) const;

  std::vector<Node> nodes_;
  uint32_t next_step_ = 0;
  size_t next_node_ = 0;  // where the search begins: steps go round the nodes
};

}  // namespace holdfast::pod
