// A task of a step, in the new process: it takes its directory, limits, binding and files, and
// becomes its program. Executed anew as `pod-root --task FD INDEX` by the step daemon.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "pod/steps/messages.h"

namespace holdfast::pod {

// Where a task finds its connection to PMI: out of the way of the descriptors that shells and
// programs choose themselves.
inline constexpr int kPmiFd = 200;

// Starts task `index` of the node; `order` is a descriptor with the serialized order in it, which
// stays the caller's. Descriptors 0, 1 and 2 of the task are `fds`.
Result<Process> StartTask(const UniqueFd& order, size_t index,
                          std::vector<std::pair<int, int>> fds);

// What is said where the tasks' directory is not.
std::string NoDirectory(const DaemonOrder& order, int error);

// In the new process. Returns only if it cannot become the program, with what to exit with; it has
// said why.
int BecomeTask(int fd, size_t index);

}  // namespace holdfast::pod
