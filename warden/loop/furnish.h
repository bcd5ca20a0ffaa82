// Puts into a new pod's directory what pod-root starts from (pod/pod_directory.h).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "pod/pod_directory.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

struct Furniture {
  std::string program_directory = HOLDFAST_LIBEXEC;
  std::vector<pod::Peer> peers;
  std::string launch;  // empty but in pod 0
};

// All of it belongs to the pod's owner. Only before any process of the owner runs in the pod.
Status FurnishPod(const Pod& pod, const Furniture& furniture);

}  // namespace holdfast::warden
