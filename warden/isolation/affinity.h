// CPU binding. A pod may run on the CPUs that Slurm gave its step, and MPI binds ranks to some of
// these; CRIU does not restore what a process was bound to.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/result.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

// Binds the calling thread, and what it starts from now on, as process `pid` is bound.
Status BindLike(pid_t pid);
// Of the CPUs that the calling thread is bound to, binds it to the share of one of several pods,
// in order and as even as can be; to all, if there are fewer CPUs than pods.
Status BindToShare(uint32_t slot, uint32_t slots);
// How many CPUs the calling thread may run on.
unsigned BoundCores();

// The image of a part that holds DescribeBindings.
inline constexpr const char* kBindingsImage = "bindings";

// Threads of the pod that are bound to fewer CPUs than the calling thread: a line for each, with
// its id in the pod and the places of its CPUs among the calling thread's, counted from 0. Places,
// because elsewhere the step has other CPUs. The pod's processes must be frozen.
Result<std::string> DescribeBindings(const Pod& pod);
// Binds every thread of the pod as the calling thread is bound, or to the CPUs at the places that
// `bindings` (DescribeBindings, or empty) has for it, if there are so many. The pod's processes
// must be held, so that none is born meanwhile.
Status BindPod(const Pod& pod, const std::string& bindings);

}  // namespace holdfast::warden
