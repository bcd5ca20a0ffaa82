// Signals with a meaning of Holdfast's own.
//
// How a signal that Slurm sent to the job reaches the job's processes inside the pod: the warden
// queues kRelaySignal to pod-root, with a value that says which signal and to whom; pod-root sends
// it on.
#pragma once

#include <signal.h>

#include <optional>

namespace holdfast::pod {

// A fixed number: a pod-root that was saved by one version is signalled by the next. Above the two
// that glibc keeps for itself and below those that programs take from either end.
inline constexpr int kRelaySignal = 49;

// To holdfast-batch, from the coordinator by way of Slurm: end now. Slurm itself then requeues a
// job that it is preempting (coordinator/libslurm_client.cc says why it must be so).
inline constexpr int kLeaveSignal = 50;

struct RelayedSignal {
  int signal = 0;
  // True: to the batch script's own process, as `scancel --batch` and `--signal=B:` mean it.
  // False: to the processes that Slurm would have started as steps, that is, those that
  // holdfast-rsh started.
  bool to_batch = false;
  bool operator==(const RelayedSignal&) const = default;
};

// The value for sigqueue(3).
inline sigval EncodeRelayedSignal(const RelayedSignal& relayed) {
  return {.sival_int = relayed.signal | (relayed.to_batch ? 0x100 : 0)};
}
// Nothing for a value that EncodeRelayedSignal does not make.
inline std::optional<RelayedSignal> DecodeRelayedSignal(sigval value) {
  const RelayedSignal relayed{.signal = value.sival_int & 0xff,
                              .to_batch = (value.sival_int & 0x100) != 0};
  if ((value.sival_int & ~0x1ff) != 0 || relayed.signal < 1 || relayed.signal >= NSIG)
    return std::nullopt;
  return relayed;
}

}  // namespace holdfast::pod
