// CPU binding. A pod may run on the CPUs that Slurm gave its step; CRIU does not restore what a
// process was bound to.
#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "warden/pod.h"

namespace holdfast::warden {

// Binds the calling thread, and what it starts from now on, as process `pid` is bound.
Status BindLike(pid_t pid);
// How many CPUs the calling thread may run on.
unsigned BoundCores();
// Binds every thread of the pod as the calling thread is bound. The pod's processes must be held,
// so that none is born meanwhile.
Status BindPod(const Pod& pod);

}  // namespace holdfast::warden
