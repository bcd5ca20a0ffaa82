// Slurm, as far as one job sees it: starts it on nodes, takes it off, and answers, unless it is
// away.
#pragma once

#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/event.h"
#include "tests/unit/coordinator/simulation/operations.h"

namespace holdfast::simulation {

using coordinator::Record;

class Slurm {
 public:
  Slurm(Surroundings& world, uint32_t pods, JobOptions options)
      : world_(world), sim_(world.sim), pods_(pods), options_(std::move(options)) {
    record_.job_id = kJob;
    record_.uid = kUser;
    record_.requeue = sim_.Chance(0.7);
    preempted_to_queue_ = sim_.Chance(0.7);
    record_.kill_wait_seconds = 30;
    Become(Record::State::kPending, "PENDING");
    Schedule();
  }

  // Of each start of the job; 0: none.
  std::chrono::seconds time_limit{0};

  static constexpr uint32_t kJob = 7;
  static constexpr uid_t kUser = 1000;

  // What somebody is told who asks now.
  Record Look() const { return record_; }
  bool away() const { return sim_.now() < away_until_; }
  SteadyTime away_until() const { return away_until_; }
  bool is(Record::State state) const { return record_.state == state; }
  std::vector<WardenProcess*> Wardens() const {
    std::vector<WardenProcess*> present;
    for (const auto& warden : wardens_)
      if (warden && !warden->left()) present.push_back(warden.get());
    return present;
  }
  WardenProcess* Find(uint32_t pod) const {
    for (WardenProcess* warden : Wardens())
      if (warden->pod() == pod) return warden;
    return nullptr;
  }

  void GoAway(milliseconds time) { away_until_ = sim_.now() + time; }

  // False: not in this state of the job. What libslurm_client.cc does about it.
  bool Requeue(const coordinator::Requeue& how) {
    if (record_.restart_count != how.restart_count) return true;
    const bool unmarks = how.unmark && record_.marked;
    if (!is(Record::State::kRunning) || (!record_.being_preempted() && !unmarks))
      return Requeue(how.hold);
    EndMarked();  // it leaves, and Slurm goes on with what it is at
    return true;
  }
  bool Requeue(bool hold) {
    const bool taken = is(Record::State::kTerminal) &&
                       (record_.state_name == "PREEMPTED" || record_.state_name == "TIMEOUT" ||
                        record_.state_name == "FAILED");
    if (!is(Record::State::kRunning) && !(taken && !record_.completing)) return false;
    sim_.Trace("slurm: requeued{}", hold ? ", held" : "");
    Become(Record::State::kPending, "PENDING");
    ++record_.restart_count;
    // As Slurm does with one that it has suspended: nobody of it has any time.
    const bool suspended = std::exchange(record_.suspended, false);
    record_.held = hold || suspended;
    if (suspended)
      for (WardenProcess* warden : Wardens()) Remove(*warden);
    record_.begin_time = sim_.now_ns() / 1'000'000'000 + 120;
    TakeOff([this, release = suspended && !hold] {
      Schedule();
      // Its user has it go on.
      if (release) sim_.After(5min, start_, [this] { record_.held = false; });
    });
    return true;
  }
  void Apply(const coordinator::Amend& amend) {
    if (amend.requeue) record_.requeue = *amend.requeue;
    if (!is(Record::State::kPending)) return;
    if (amend.excluded) record_.excluded = *amend.excluded;
    if (amend.eligible) record_.begin_time = sim_.now_ns() / 1'000'000'000;
    if (amend.not_before != 0) record_.begin_time = amend.not_before;
    if (amend.hold) record_.held = true;
    if (amend.release) record_.held = false;
  }
  // At the start of GraceTime the job gets SIGTERM; at its end it is taken off its nodes.
  void Preempt(milliseconds grace) {
    if (!is(Record::State::kRunning) || record_.being_preempted()) return;
    sim_.Trace("slurm: preempts it, {} s grace", grace.count() / 1000);
    record_.marked = true;
    sim_.After(sim_.Between(0ms, 500ms), start_, [this, grace, now = sim_.now_ns()] {
      record_.preempt_time = now / 1'000'000'000;
      record_.leave_by = (now + std::chrono::nanoseconds(grace).count()) / 1'000'000'000;
    });
    Signal(SIGTERM);
    sim_.After(grace, start_, [this] {
      if (is(Record::State::kRunning)) TakePreempted();
    });
  }
  void Signal(int signal) {
    for (WardenProcess* warden : Wardens())
      sim_.After(sim_.Between(0ms, 300ms), warden->life(), [this, warden, signal] {
        if (warden->task.released && signal == SIGTERM) return Close(*warden);
        pod::Frame frame;
        frame.type = pod::FrameType::kSignal;
        frame.signal = signal;
        warden->task.frames.push_back(frame);
        warden->Wake();
      });
  }
  // Its wardens have two seconds; then they stand still, and their connections are missed.
  void Suspend(milliseconds time) {
    if (!is(Record::State::kRunning) || record_.suspended) return;
    sim_.Trace("slurm: suspended");
    record_.suspended = true;
    suspended_ns_ = sim_.now_ns();
    record_.state_name = "SUSPENDED";
    Signal(SIGTSTP);
    sim_.After(2s, start_, [this] {
      if (!record_.suspended) return;
      for (WardenProcess* warden : Wardens()) {
        sim_.Stop(warden->life());
        warden->line.Break(kKeepalive);
      }
    });
    sim_.After(2s + time, start_, [this] { Unsuspend(); });
  }
  void Unsuspend() {
    if (!record_.suspended) return;
    sim_.Trace("slurm: goes on");
    record_.suspended = false;
    record_.state_name = "RUNNING";
    if (time_limit.count() > 0) record_.end_time += (sim_.now_ns() - suspended_ns_) / 1'000'000'000;
    for (WardenProcess* warden : Wardens()) sim_.GoOn(warden->life());
  }
  void Cancel() {
    if (!is(Record::State::kTerminal)) End("CANCELLED");
  }
  void KillWarden(uint32_t pod) {
    if (WardenProcess* warden = Find(pod)) {
      sim_.Trace("the warden of pod {} is killed", pod);
      Remove(*warden);
      Abandon(pod);
    }
  }
  // Without a word to anybody; Slurm finds out later, if ever.
  void LoseNode(uint32_t pod) {
    WardenProcess* warden = Find(pod);
    if (warden == nullptr) return;
    sim_.Trace("{} dies", warden->node());
    warden->line.Break(kKeepalive);
    down_[warden->node()] = sim_.now() + sim_.Between(1min, 2h);
    Remove(*warden);
    sim_.After(sim_.Between(1s, 30min), start_, [this] {
      if (is(Record::State::kRunning)) Requeue(false);
    });
  }
  // What the warden beside it tells the task of a pod (pod/task.cc, pod/supervisor.cc).
  void TellTask(uint32_t pod, const pod::Frame& frame) {
    if (frame.type == pod::FrameType::kDelivered) return;
    if (frame.type == pod::FrameType::kReleased) {
      if (WardenProcess* warden = Find(pod)) {
        warden->task.released = true;
        if (frame.leave) Close(*warden);
      }
      return;
    }
    if (!is(Record::State::kRunning)) return;
    const bool failed = frame.type == pod::FrameType::kFailed || !frame.status.ok();
    sim_.Trace("the task of pod {} ends{}", pod, failed ? ", badly: " + frame.message : "");
    // srun --kill-on-bad-exit takes all away.
    if (pod == 0 || failed)
      sim_.After(sim_.Between(0ms, 1s), start_, [this, pod, failed] {
        if (!is(Record::State::kRunning)) return;
        if (record_.marked) return EndMarked();
        End(pod == 0 && !failed ? "COMPLETED" : "FAILED");
      });
  }
  // Of wardens that have left.
  void Sweep() {
    for (auto& warden : wardens_)
      if (warden && warden->left()) warden.reset();
  }

 private:
  void Become(Record::State state, std::string name) {
    record_.state = state;
    record_.state_name = std::move(name);
  }
  void End(const char* how) {
    sim_.Trace("slurm: {}", how);
    const bool ran = is(Record::State::kRunning);
    if (std::exchange(record_.suspended, false))
      for (WardenProcess* warden : Wardens()) Remove(*warden);
    Become(Record::State::kTerminal, how);
    if (ran) TakeOff([] {});
  }

  // Its script has ended while it has the mark, and that is taken for the end of its grace time.
  void EndMarked() {
    if (preempted_to_queue_ && record_.requeue) {
      record_.marked = false;
      Requeue(false);
    } else {
      End("PREEMPTED");
    }
  }
  void TakePreempted() {
    if (preempted_to_queue_ && record_.requeue)
      Requeue(false);
    else
      End("PREEMPTED");
  }
  // Its processes get SIGTERM, and after KillWait SIGKILL. When they are gone, it is no longer
  // completing.
  void TakeOff(std::function<void()> then) {
    record_.completing = true;
    start_ = std::make_shared<int>();  // what was to come for this start no longer does
    record_.preempt_time = 0;
    Signal(SIGTERM);
    const SteadyTime killed = sim_.now() + 30s;
    AwaitEnd(killed, std::move(then));
  }
  void AwaitEnd(SteadyTime killed, std::function<void()> then) {
    sim_.After(sim_.Between(200ms, 2s), start_, [this, killed, then = std::move(then)]() mutable {
      if (sim_.now() >= killed) {
        for (WardenProcess* warden : Wardens()) Remove(*warden);
      }
      if (!Wardens().empty()) return AwaitEnd(killed, std::move(then));
      wardens_.clear();
      record_.completing = false;
      record_.nodes.clear();
      then();
    });
  }
  // The task has ended.
  void Close(WardenProcess& warden) {
    warden.task.closed = true;
    warden.Wake();
  }
  void Schedule() {
    sim_.After(sim_.Between(1s, 60s), start_, [this] {
      const bool eligible = record_.begin_time <= sim_.now_ns() / 1'000'000'000;
      if (is(Record::State::kPending) && !record_.held && eligible && Launch()) return;
      if (is(Record::State::kPending)) Schedule();
    });
  }
  bool Launch() {
    std::vector<std::string> nodes;
    record_.unsatisfiable = kNodes - record_.excluded.size() < pods_;
    const uint32_t first = sim_.Pick(kNodes);
    for (uint32_t i = 0; i < kNodes && nodes.size() < pods_; ++i) {
      const std::string node = "n" + std::to_string((first + i) % kNodes);
      const auto down = down_.find(node);
      if (down != down_.end() && sim_.now() < down->second) continue;
      if (std::ranges::contains(record_.excluded, node)) continue;
      nodes.push_back(node);
    }
    if (nodes.size() < pods_) return false;
    sim_.Trace("slurm: start {} on {}", record_.restart_count, fmt::join(nodes, ","));
    Become(Record::State::kRunning, "RUNNING");
    start_ = std::make_shared<int>();
    record_.start_time = sim_.now_ns() / 1'000'000'000;
    record_.preempt_time = 0;
    record_.nodes = nodes;
    if (time_limit.count() > 0) {
      record_.end_time = record_.start_time + time_limit.count();
      AwaitTimeLimit();
    }
    wardens_.clear();
    wardens_.resize(pods_);
    for (uint32_t pod = 0; pod < pods_; ++pod)
      if (sim_.Fault(0.01))
        Abandon(pod);
      else
        sim_.After(sim_.Between(10ms, 10s), start_, [this, pod] { Begin(pod); });
    return true;
  }
  // A task without a warden waits so long for somebody to requeue the job (pod/task.cc).
  void Abandon(uint32_t pod) {
    sim_.After(5min, start_, [this, pod] {
      pod::Frame frame;
      frame.type = pod::FrameType::kFailed;
      frame.message = "the warden of this node ended unexpectedly";
      world_.told_task(pod, frame);
    });
  }
  // It looks every half minute whose time is over.
  void AwaitTimeLimit() {
    sim_.After(30s, start_, [this] {
      if (!is(Record::State::kRunning)) return;
      const bool over = record_.end_time <= sim_.now_ns() / 1'000'000'000;
      if (!over || record_.suspended || record_.being_preempted()) return AwaitTimeLimit();
      world_.may_end = true;  // if nobody had the time to save it
      End("TIMEOUT");
    });
  }
  void Begin(uint32_t pod) {
    if (record_.suspended) return sim_.After(1s, start_, [this, pod] { Begin(pod); });
    warden::Job job;
    job.environment.job_id = kJob;
    job.environment.restart_count = record_.restart_count;
    job.environment.pod = pod;
    job.environment.pods = pods_;
    job.environment.node = record_.nodes[pod];
    job.environment.owner.uid = kUser;
    job.underlay.address = "10.0.0.1";
    job.underlay.mtu = 1500;
    job.options = options_;
    wardens_[pod] = std::make_unique<WardenProcess>(world_, std::move(job));
  }
  void Remove(WardenProcess& warden) {
    for (auto& own : wardens_)
      if (own.get() == &warden) own.reset();
  }

  static constexpr uint32_t kNodes = 6;
  Surroundings& world_;
  Simulation& sim_;
  const uint32_t pods_;
  const JobOptions options_;
  Record record_;
  SteadyTime away_until_;
  std::map<std::string, SteadyTime> down_;
  int64_t suspended_ns_ = 0;
  bool preempted_to_queue_ = false;  // PreemptMode=REQUEUE, or CANCEL
  std::shared_ptr<int> start_ = std::make_shared<int>();
  std::vector<std::unique_ptr<WardenProcess>> wardens_;
};

}  // namespace holdfast::simulation
