// What can be seen of processes before they are frozen, and would make CRIU fail, then or at the
// restore: late, in words of its own, or not at all.
//
// Used by save.cc, as root. Thread-safe.
#pragma once

#include "base/result.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

// kUnsupported, naming the process, if one is traced, has lost its main thread, is in a user
// namespace of its own, has a file open that belongs to one of its threads, or is not below
// pod-root: CRIU would leave it out.
Status CheckProcesses(const Pod& pod);

}  // namespace holdfast::warden
