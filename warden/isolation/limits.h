// Resource limits (ulimit) of a pod that has no launch to take them from: those that Slurm gave the
// pod step's task on that node.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace holdfast::warden {

// Of the text of /proc/PID/limits, which root may read of any process, unlike with prlimit(2).
Result<std::vector<std::pair<int, rlimit>>> ParseLimits(const std::string& text);
// Gives process `to`, which must be root's, the limits of process `from`.
Status CopyLimits(pid_t from, pid_t to);
// Raises the calling process's hard limits as far as it may, and no soft one: CRIU gives restored
// processes their limits, and is not root then.
void RaiseHardLimits();

// As many open files as the calling process may have: a lazy restore holds one for every process
// that is forked meanwhile, and CRIU a pipe for every few megabytes of a dump.
void UseAllDescriptors();

}  // namespace holdfast::warden
