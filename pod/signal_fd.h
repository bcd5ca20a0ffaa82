// Signals as something to poll. Used by the single-threaded programs of this directory; children
// that base/process.h starts do not inherit the blocking.
#pragma once

#include <signal.h>
#include <sys/signalfd.h>

#include <initializer_list>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::pod {

// Every signal that somebody may send to a job for it to act upon: all but those that cannot be
// caught, tell of the process's own faults, or are sent by the kernel to parents and writers.
sigset_t JobSignals();
sigset_t Signals(std::initializer_list<int> signals);

// Blocks these signals and returns the descriptor to read them from.
Result<UniqueFd> OpenSignalFd(const sigset_t& signals);
// The next one; the descriptor must have polled readable.
Result<signalfd_siginfo> ReadSignal(const UniqueFd& fd);

}  // namespace holdfast::pod
