// What CRIU neither saves nor refuses, and a program would find changed after a restore: I/O
// priorities, timer slack, what a core dump holds, personalities, NUMA policies; options of
// sockets, multicast groups, and UDP datagrams that wait to be read; of System V objects what
// sysv.h says, and SEM_UNDO.
//
// Used by save.cc and restore.cc.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

// The image of a part that holds it.
inline constexpr const char* kAttributesImage = "attributes";

// The pod's processes must be frozen. kUnsupported, naming the process, for what is waiting in a
// socket and could not be put back. `unseen`: what CRIU's library found (warden/criu/unseen.h).
Result<std::string> DescribeAttributes(const Pod& pod, std::string_view unseen);
// What only the restored processes themselves can do (warden/criu/late_calls.h): its records.
Result<std::string> LateCalls(const std::string& attributes);
// Gives the restored processes what `attributes` (DescribeAttributes, or empty) says. They must be
// held, and CRIU done with their sockets: at its stage "pre-resume".
Status RestoreAttributes(const Pod& pod, const std::string& attributes);

}  // namespace holdfast::warden
