// What the pod's processes watch with inotify(7). The kernel tells the inode and a file handle, and
// CRIU, which is not root, may not open handles; given the paths, it looks for the inode there.
//
// Used by save.cc. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

// As the pod sees them, each once: files first, because CRIU walks through a directory that is not
// what it looks for. What cannot be found is left out: CRIU then refuses.
Result<std::vector<std::string>> WatchedPaths(const Pod& pod);

}  // namespace holdfast::warden
