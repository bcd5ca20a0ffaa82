// What CRIU neither saves nor refuses, and a program would find changed after a restore: I/O
// priorities, timer slack, what a core dump holds; options of sockets, multicast groups, and UDP
// datagrams that wait to be read. What is kept by nobody is listed in docs/what-moves.md.
//
// Used by save.cc and restore.cc.
#pragma once

#include <string>

#include "base/result.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

// The image of a part that holds it.
inline constexpr const char* kAttributesImage = "attributes";

// The pod's processes must be frozen. kUnsupported, naming the process, for what is waiting in a
// socket and could not be put back.
Result<std::string> DescribeAttributes(const Pod& pod);
// Gives the restored processes what `attributes` (DescribeAttributes, or empty) says. They must be
// held, and CRIU done with their sockets: at its stage "pre-resume".
Status RestoreAttributes(const Pod& pod, const std::string& attributes);

}  // namespace holdfast::warden
