// What the warden's main loop does: takes what comes from the coordinator, from the task beside it,
// from the pod and from the worker, asks state.h what to do, and does it. One thread, that of the
// loop in warden.cc; only the worker blocks.
#pragma once

#include <chrono>
#include <optional>

#include "pod/task_link.h"
#include "warden/loop/job.h"
#include "warden/loop/roles.h"
#include "warden/loop/signals.h"
#include "warden/loop/spot.h"
#include "warden/loop/state.h"

namespace holdfast::warden {

class Lifecycle {
 public:
  // All of them live as long as this.
  Lifecycle(const Job& job, TaskLink& link, CoordinatorLine& channel, Runner& worker,
            PodOperations& operations, Spot& spot, Now now = std::chrono::steady_clock::now);

  // Says the first Hello. Once, before all else.
  void Begin();
  // What there is something to take from: `pod` if it has ended.
  struct Ready {
    bool worker = false;
    bool channel = false;
    bool link = false;
    bool pod = false;
  };
  void Turn(const Ready& ready);
  // The job's part on this node is over. What is left of the pod ends with `operations`.
  bool left() const { return left_; }

  // What the next turn waits for beside worker and channel.
  bool heeds_link() const { return !farewell_; }
  bool watches_pod() const;
  bool has_timers() const { return signals_.any_waiting() || verdict_awaited_ || end_told_; }

 private:
  using Time = std::chrono::steady_clock::time_point;

  void OnChannel();
  void OnMessage(const v1::ToWarden& message);
  void OnSettle(const v1::Settle& settle);
  void OnLink();
  void OnTimers();

  void Apply(Input input);
  void Do(Action action);
  // Has the worker do it, and applies kDone or kFailed afterwards.
  void Perform(Runner::Task task);
  // Has the worker do it, and logs under the name `what` if it fails.
  void Background(const char* what, Runner::Task task);
  void End();
  void GiveUpDamaged();
  void NoteFailure(v1::Phase phase, const Error& error);
  void SayHello();
  void SayStored();
  void OnStay(const v1::Stay& stay);
  void OnConfirm(const v1::Confirm& confirm);
  void SayFailed();
  void SaySettled();
  void SayEnded();

  // Ends the main loop once the worker is idle, having told the task this.
  void Leave(const pod::Frame& farewell);
  pod::Frame Farewell() const;

  const Job& job_;
  TaskLink& link_;
  CoordinatorLine& channel_;
  Runner& worker_;
  PodOperations& operations_;
  Spot& spot_;
  const Now now_;
  Signals signals_;

  State state_ = State::kAttaching;
  v1::ToWarden request_;                 // that the operation under way, or done last, is about
  uint32_t checkpoint_ = 0;              // prepared last
  v1::Settle verdict_;                   // given last; empty if patience took its place
  uint32_t round_ = 0;                   // pod 0: how often it has asked whether to commit
  Time asked_;                           // when it did last
  std::optional<v1::Failed> failed_;     // the operation that failed last
  std::optional<Time> verdict_awaited_;  // since when
  std::optional<v1::Ended> ended_;
  bool out_of_memory_ = false;    // and that was why it did not end well
  std::optional<Time> end_told_;  // since when Ended waits for its answer
  bool tidy_ = false;             // a commit left something to remove
  bool remove_checkpoints_ = false;
  std::optional<pod::Frame> farewell_;  // leaving; to be said last
  bool left_ = false;
};

}  // namespace holdfast::warden
