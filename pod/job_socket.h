// TCP between the pods of a job, on the job's own network.
#pragma once

#include <chrono>

#include "base/result.h"
#include "base/unique_fd.h"
#include "pod/pod_directory.h"

namespace holdfast::pod {

// Listens on the peer's own address, kRshPort.
Result<UniqueFd> ListenAt(const Peer& self);
// Connects to that peer's pod-root. Its pod may be a moment later than ours: tries for `patience`.
Result<UniqueFd> ConnectTo(const Peer& peer, std::chrono::milliseconds patience);

}  // namespace holdfast::pod
