// The pod step's task on each node: Slurm's face of a pod. It passes Slurm's signals to the warden
// beside it, and on pod 0 carries frames between holdfast-batch and the warden. Single-threaded;
// runs as the user.
#pragma once

#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::pod {

struct TaskLinks {
  UniqueFd warden;
  UniqueFd batch;  // pod 0 only
};
// From the environment that the plugin and holdfast-batch prepared.
Result<TaskLinks> FindTaskLinks();

// Runs until the pod has ended, and says how this process should. An error is for stderr.
Result<ExitStatus> RunTask(TaskLinks links);

}  // namespace holdfast::pod
