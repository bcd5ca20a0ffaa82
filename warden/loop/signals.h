// Signals on their way from Slurm to the job. Slurm sends SIGTERM at the start of a preemption's
// grace time, and which signal means what only the coordinator can find out: each is told to it and
// waits for its word. For the warden's main thread.
#pragma once

#include <chrono>
#include <vector>

#include "pod/signals.h"
#include "warden/loop/roles.h"
#include "warden/loop/state.h"

namespace holdfast::warden {

class Pod;

class Signals {
 public:
  // Both must outlive this.
  Signals(CoordinatorLine& channel, PodOperations& operations, Now now)
      : channel_(channel), operations_(operations), now_(std::move(now)) {}

  // Slurm sent it to the task beside the warden, or to the batch step.
  void Take(const pod::RelayedSignal& signal);
  // A coordinator has come that may not have heard of some.
  void Repeat();
  bool any_waiting() const { return !waiting_.empty(); }
  // Delivers those that have waited too long for a coordinator that is away.
  void Tire(State state);

  // The coordinator has decided that the job is to have it. Before the pod runs it is kept.
  void Obey(const v1::Deliver& order, State state);
  // The pod runs.
  void DeliverKept(State state);

 private:
  struct Waiting {
    pod::RelayedSignal signal;
    std::chrono::steady_clock::time_point came;
  };
  void Tell(const Waiting& waiting);
  void Deliver(const pod::RelayedSignal& signal, State state);

  CoordinatorLine& channel_;
  PodOperations& operations_;
  const Now now_;
  std::vector<Waiting> waiting_;
  std::vector<pod::RelayedSignal> kept_;
};

// To the root of a running pod, which passes it on.
Status RelaySignal(const Pod& pod, const pod::RelayedSignal& signal);

}  // namespace holdfast::warden
