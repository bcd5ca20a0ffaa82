// Signals on their way from Slurm to the job. Slurm sends SIGTERM at the start of a preemption's
// grace time, and only the coordinator can find out what a signal means: it is told of each, and
// the signal waits for its word. For the warden's main thread.
#pragma once

#include <chrono>
#include <utility>
#include <vector>

#include "warden/loop/channel.h"
#include "warden/loop/operations.h"
#include "warden/loop/state.h"

namespace holdfast::warden {

class Signals {
 public:
  // Both must outlive this.
  Signals(Channel& channel, Operations& operations) : channel_(channel), operations_(operations) {}

  // The task beside the warden, or with `from_batch` the batch step, got it.
  void Take(int signal, bool from_batch);
  // A coordinator has come that may not have heard of some.
  void Repeat();
  // The job is being saved: whatever Slurm's SIGTERM meant, it has been understood.
  void Forget() { waiting_.clear(); }
  bool any_waiting() const { return !waiting_.empty(); }
  // Delivers those that have waited too long for a coordinator that is away.
  void Tire(State state);

  // The coordinator has decided: to the script itself, or to the job's step processes. Before the
  // pod runs it is kept.
  void Obey(const v1::Deliver& order, State state);
  // The pod runs.
  void DeliverKept(State state);

 private:
  using Clock = std::chrono::steady_clock;
  struct Waiting {
    int signal = 0;
    bool from_batch = false;
    Clock::time_point came;
  };
  void Tell(const Waiting& waiting);
  void Deliver(int signal, bool to_batch, State state);

  Channel& channel_;
  Operations& operations_;
  std::vector<Waiting> waiting_;
  std::vector<std::pair<int, bool>> kept_;
};

}  // namespace holdfast::warden
