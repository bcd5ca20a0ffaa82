// What Slurm is to be asked for, so that a job's pods may be on a given number of nodes. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "coordinator/event.h"

namespace holdfast::coordinator {

struct Demand {
  uint32_t min_nodes = 0;
  uint32_t max_nodes = 0;
  uint64_t node_memory_mb = 0;  // 0: as it is
  uint32_t tasks_per_node = 0;  // 0: as it is

  bool operator==(const Demand&) const = default;
};

// Nothing, if that is what the pending job's record asks for.
std::optional<Demand> DemandOf(const Spread& spread, const Record& record);

}  // namespace holdfast::coordinator
