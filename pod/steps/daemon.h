// A step's daemon in one pod, what slurmstepd is to a step of Slurm's: it starts the step's tasks
// there, carries their input and output, and tells srun how they ended. A process of its own,
// started by pod-root for the connection that brings a DaemonOrder; when that connection ends
// before the tasks do, they are killed, and so is whatever they leave behind.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::pod {

// Serves to the end of the step. The connection's first frame has not been read.
Status ServeStep(UniqueFd connection);

}  // namespace holdfast::pod
