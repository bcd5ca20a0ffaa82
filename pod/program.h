// Starting a program inside the pod as a Launch describes it. The work between fork and exec is
// done by pod-root executed anew (`pod-root --become FD`), so that it may be ordinary code.
#pragma once

#include <string>

#include "base/process.h"
#include "base/result.h"
#include "pod/launch.h"

namespace holdfast::pod {

// Starts it as the leader of a session of its own. Standard descriptors are those the launch names
// a path for; the others are `fds` (SpawnOptions::fds) or this process's.
Result<Process> StartProgram(const Launch& launch, std::vector<std::pair<int, int>> fds = {});

// In the new process: reads the launch from `fd` and becomes its program. Returns only if it
// cannot.
Error Become(int fd);

}  // namespace holdfast::pod
