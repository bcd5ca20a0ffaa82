// From what the user wrote to what is asked of the allocator: srun's own arithmetic with -n, -N,
// -c and --ntasks-per-node (Slurm 24.11, src/srun/opt.c).
#pragma once

#include "pod/steps/options.h"

namespace holdfast::pod {

// The job, as srun sees it.
struct JobView {
  uint32_t job = 0;
  uint32_t nodes = 1;
};

std::expected<StepRequest, Complaint> Resolve(const Options& options, const JobView& job,
                                              std::vector<std::string>& remarks);

// Which CPUs the tasks of a node are bound to.
Binding Bind(const Options& options, const NodeShare& share);

// Whether the step has only the CPUs that its tasks need.
bool IsExact(const Options& options);

}  // namespace holdfast::pod
