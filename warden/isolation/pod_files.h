// Reaching files inside a pod from the node without being led astray: the pod's user owns
// directories there, and a symbolic link must be followed as the pod would, never on the node.
// Used by save.cc and restore.cc. Thread-safe; file accesses are the calling thread's identity's.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

// The pod's root directory. As root only: a pod's init is not its user's.
Result<UniqueFd> OpenPodRoot(const Pod& pod);
// open(2) of an absolute path as a process in the pod would see it.
Result<UniqueFd> OpenInPod(const UniqueFd& pod_root, const std::string& path, int flags);
// The same, but through no symbolic link, the last component included: for a path that CRIU or
// /proc gave when it was in use, so that it has none unless it has been tampered with.
Result<UniqueFd> OpenDirectlyInPod(const UniqueFd& pod_root, const std::string& path, int flags);
// open(2) of a path below the directory, on the same filesystem and through no symbolic link.
Result<UniqueFd> OpenBeneath(const UniqueFd& directory, const std::string& path, int flags);

}  // namespace holdfast::warden
