// Which task runs on which of a step's nodes, as Slurm deals them out. Pure functions, compared in
// their unit test with what Slurm's own srun did.
#pragma once

#include <cstdint>
#include <vector>

#include "pod/steps/messages.h"

namespace holdfast::pod {

// How many of `tasks` go to each node, of which node i has room for `room[i]`. A task that fits
// nowhere goes on in turn (overcommit).
std::vector<uint32_t> CountTasks(uint32_t tasks, const std::vector<uint32_t>& room,
                                 Distribution distribution, uint32_t plane_size);

// The numbers of each node's tasks, ascending.
std::vector<std::vector<uint32_t>> NumberTasks(const std::vector<uint32_t>& counts,
                                               Distribution distribution, uint32_t plane_size);

// Distribution::kUnset means one or the other of the two that have names.
Distribution ResolveDistribution(Distribution wanted, uint32_t tasks, uint32_t nodes);

}  // namespace holdfast::pod
