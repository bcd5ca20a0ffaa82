// The warden's main loop: takes what comes from the coordinator, from the task beside it, from the
// pod and from the worker, asks state.h what to do, and does it. One thread; only the worker
// blocks.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "base/unique_fd.h"
#include "pod/task_link.h"
#include "warden/loop/channel.h"
#include "warden/loop/job.h"
#include "warden/loop/operations.h"
#include "warden/loop/signals.h"
#include "warden/loop/spot.h"
#include "warden/loop/state.h"
#include "warden/loop/worker.h"

namespace holdfast::warden {

class Lifecycle {
 public:
  // `link` is the socket of pod/task_link.h. All of them live as long as this.
  Lifecycle(const Job& job, const UniqueFd& link, Channel& channel, Worker& worker,
            Operations& operations, Spot& spot);

  // Until the job's part on this node is over. What is left of the pod ends with `operations`.
  void Run();

 private:
  using Clock = std::chrono::steady_clock;

  void Poll();
  void OnChannel();
  void OnMessage(const v1::ToWarden& message);
  void OnSettle(const v1::Settle& settle);
  void OnLink();
  void OnTimers();

  void Apply(Input input);
  void Do(Action action);
  // Has the worker do it, and applies kDone or kFailed afterwards.
  void Perform(Worker::Task task);
  // Has the worker do it, and logs under the name `what` if it fails.
  void Background(const char* what, Worker::Task task);
  void End();
  void LoseMemory();
  void NoteFailure(v1::Phase phase, const Error& error);
  void SayHello();
  void SayFailed();
  void SaySettled();
  void SayEnded();

  // Ends the main loop once the worker is idle, having told the task this.
  void Leave(const pod::Frame& farewell);
  pod::Frame Farewell() const;

  const Job& job_;
  const UniqueFd& link_;
  Channel& channel_;
  Worker& worker_;
  Operations& operations_;
  Spot& spot_;
  Signals signals_;

  State state_ = State::kAttaching;
  v1::ToWarden request_;              // that the operation under way, or done last, is about
  uint32_t checkpoint_ = 0;           // prepared last
  v1::Settle verdict_;                // given last; empty if patience took its place
  std::optional<v1::Failed> failed_;  // the operation that failed last
  std::optional<Clock::time_point> verdict_awaited_;  // since when
  std::optional<v1::Ended> ended_;
  std::optional<Clock::time_point> leave_at_;  // even if nobody answers Ended
  bool tidy_ = false;                          // a commit left something to remove
  bool remove_checkpoints_ = false;
  std::optional<pod::Frame> farewell_;  // leaving; to be said last
  bool left_ = false;
};

}  // namespace holdfast::warden
