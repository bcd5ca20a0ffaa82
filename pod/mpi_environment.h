// What makes an unmodified `mpirun` or `mpiexec` in the job's script spread over the job's pods:
// host lists, slots, and holdfast-rsh as the way to start daemons there.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "pod/pod_directory.h"

namespace holdfast::pod {

// "2(x3),1" -> 2 2 2 1, as Slurm writes SLURM_TASKS_PER_NODE. kInvalid if it is not that, or has
// more than a million nodes.
Result<std::vector<unsigned>> ParseCounts(std::string_view text);

// Slots by pod: SLURM_TASKS_PER_NODE, or else SLURM_JOB_CPUS_PER_NODE, or else one each.
Result<std::vector<unsigned>> SlotsOf(const std::vector<std::string>& environment, size_t pods);

// "n1 slots=2\nn2 slots=2\n" for Open MPI; "n1:2\nn2:2\n" for MPICH.
std::string OpenMpiHosts(const std::vector<Peer>& peers, const std::vector<unsigned>& slots);
std::string MpichHosts(const std::vector<Peer>& peers, const std::vector<unsigned>& slots);

// Adds what launchers and libraries have to know in a pod; what the user has set stays.
std::vector<std::string> AddEnvironment(std::vector<std::string> environment);

}  // namespace holdfast::pod
