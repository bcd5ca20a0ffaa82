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

// Whom a signal of Slurm's is for. The numbers are those of v1::SignalScope.
enum class SignalScope {
  kSteps = 0,   // the processes that Slurm would have started as steps: those of holdfast-rsh
  kScript = 1,  // the batch script's own process: `scancel --batch`, `--signal=B:`
  kGroup = 2,   // the script's process group: `scancel --full`
};

struct RelayedSignal {
  int signal = 0;
  SignalScope scope = SignalScope::kSteps;
  bool operator==(const RelayedSignal&) const = default;
};

// The value for sigqueue(3).
inline sigval EncodeRelayedSignal(const RelayedSignal& relayed) {
  return {.sival_int = relayed.signal | (static_cast<int>(relayed.scope) << 8)};
}
// Nothing for a value that EncodeRelayedSignal does not make.
inline std::optional<RelayedSignal> DecodeRelayedSignal(sigval value) {
  const int signal = value.sival_int & 0xff;
  const int scope = value.sival_int >> 8;
  if (scope < 0 || scope > static_cast<int>(SignalScope::kGroup) || signal < 1 || signal >= NSIG)
    return std::nullopt;
  return RelayedSignal{.signal = signal, .scope = static_cast<SignalScope>(scope)};
}

}  // namespace holdfast::pod
