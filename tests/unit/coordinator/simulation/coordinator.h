// The coordinator's process: the real Step, and around it what controller.cc and warden_service.cc
// do, with the journal's codec between two lives of it.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "coordinator/admission.h"
#include "coordinator/job_codec.h"
#include "coordinator/state.h"
#include "tests/unit/coordinator/simulation/slurm.h"

namespace holdfast::simulation {

using coordinator::Job;
using coordinator::Stage;
using coordinator::TimerKind;

class Coordinator {
 public:
  Coordinator(Surroundings& world, Slurm& slurm, coordinator::Policy policy)
      : world_(world), sim_(world.sim), slurm_(slurm), policy_(std::move(policy)) {
    Begin();
  }

  bool running() const { return life_ != nullptr; }
  SteadyTime up_since() const { return up_since_; }
  const std::optional<Job>& job() const { return job_; }
  // It has decided how the job goes on, or ends, whether or not it still lives.
  bool has_decided() const { return decided_; }

  // With the power cut: nothing is told to anybody.
  void Kill() {
    if (!running()) return;
    sim_.Trace("the coordinator is killed");
    life_.reset();
    for (auto& [pod, link] : links_) link->Cut(sim_.Chance(0.8) ? 500ms : kKeepalive);
    for (const auto& caller : callers_) caller->Cut(1s);
    links_.clear();
    callers_.clear();
    timers_.clear();
    lane_.clear();
    asked_ = busy_ = polling_ = false;
    job_.reset();
  }
  void Begin() {
    if (running()) return;
    sim_.Trace("the coordinator begins");
    life_ = std::make_shared<int>();
    up_since_ = sim_.now();
    if (!journal_.empty()) {
      auto durable = coordinator::ParseJob(journal_);
      if (!durable) return sim_.Violate("the journal cannot be read");
      job_ = coordinator::Revive(*std::move(durable));
      (void)Post(coordinator::Restarted{});
    }
    Poll();
  }

  // A warden calls.
  bool Answer(const std::shared_ptr<Connection>& caller) {
    if (!running()) return false;
    callers_.push_back(caller);
    Admit(caller);
    return true;
  }

  Status Post(decltype(coordinator::Event::body) body, uint32_t pod = 0) {
    if (!running() || !job_) return Fail(Code::kNotFound, "the job is unknown");
    const coordinator::Event event{.unix_ns = sim_.now_ns(), .pod = pod, .body = std::move(body)};
    const Job before = *job_;
    auto actions = Step(*job_, event, policy_);
    if (!actions) {
      sim_.Trace("  {}: {}", EventName(event), actions.error().message());
      return std::unexpected(actions.error());
    }
    if (job_->stage != before.stage)
      sim_.Trace("  {} -> {} by {}", StageName(before.stage), StageName(job_->stage),
                 EventName(event));
    if (!MayLead(before, event, job_->stage))
      sim_.Violate(fmt::format("not in the table: {} leads from {} to {}", EventName(event),
                               StageName(before.stage), StageName(job_->stage)));
    journal_ = coordinator::Serialize(*job_);
    decided_ = !coordinator::IsActive(job_->stage);
    size_t until = actions->size();
    const bool dies = sim_.Fault(0.001);
    if (dies) until = sim_.Pick(static_cast<uint32_t>(until + 1));
    for (size_t i = 0; i < until; ++i) Perform((*actions)[i]);
    if (dies) Restart();
    return {};
  }

  void Restart() {
    Kill();
    sim_.After(sim_.Between(100ms, 10min), [this] { Begin(); });
  }

 private:
  void Admit(const std::shared_ptr<Connection>& caller) {
    sim_.After(sim_.Between(0ms, 200ms), life_, [this, caller] {
      std::erase(callers_, caller);
      if (caller->cut()) return;
      Status admitted;
      if (slurm_.away())
        admitted = Fail(Code::kUnavailable, "Slurm does not answer");
      else
        admitted = coordinator::CheckHello(caller->hello, slurm_.Look());
      if (admitted) admitted = Attach(caller);
      if (admitted) return;
      sim_.Trace("  refused: {}", admitted.error().message());
      caller->Cut(100ms);
    });
  }
  Status Attach(const std::shared_ptr<Connection>& caller) {
    const v1::Hello& hello = caller->hello;
    const uint32_t pod = hello.pod();
    const bool added = !job_;
    if (added) {
      job_.emplace();
      job_->id = hello.job_id();
      job_->uid = hello.uid();
      job_->start.restart_count = hello.restart_count();
      job_->vni = 7;
    }
    const auto old = std::exchange(links_[pod], caller);
    if (const Status posted = Post(hello, pod); !posted) {
      if (!running()) return posted;
      if (old)
        links_[pod] = old;
      else
        links_.erase(pod);
      if (added) job_.reset();
      return posted;
    }
    if (!running()) return {};
    caller->coordinator = {.life = life_,
                           .hear_warden =
                               [this, link = caller.get(), pod](const v1::FromWarden& message) {
                                 if (Current(pod, link)) Hear(pod, message);
                               },
                           .hear_coordinator = {},
                           .lost =
                               [this, link = caller.get(), pod] {
                                 if (!Current(pod, link)) return;
                                 links_.erase(pod);
                                 (void)Post(coordinator::Lost{}, pod);
                               }};
    if (caller->cut()) caller->coordinator.lost();
    if (old) old->Cut(100ms);
    return {};
  }
  bool Current(uint32_t pod, const Connection* link) const {
    const auto found = links_.find(pod);
    return found != links_.end() && found->second.get() == link;
  }
  void Hear(uint32_t pod, const v1::FromWarden& m) {
    Status posted;
    switch (m.body_case()) {
      case v1::FromWarden::kReady:
        posted = Post(m.ready(), pod);
        break;
      case v1::FromWarden::kRunning:
        posted = Post(m.running(), pod);
        break;
      case v1::FromWarden::kPrecopied:
        posted = Post(m.precopied(), pod);
        break;
      case v1::FromWarden::kPrepared:
        posted = Post(m.prepared(), pod);
        break;
      case v1::FromWarden::kStored:
        posted = Post(m.stored(), pod);
        break;
      case v1::FromWarden::kStays:
        posted = Post(m.stays(), pod);
        break;
      case v1::FromWarden::kCommitted:
        posted = Post(m.committed(), pod);
        break;
      case v1::FromWarden::kSettled:
        posted = Post(m.settled(), pod);
        break;
      case v1::FromWarden::kFailed:
        posted = Post(m.failed(), pod);
        break;
      case v1::FromWarden::kNotice:
        posted = Post(m.notice(), pod);
        break;
      case v1::FromWarden::kEnded:
        posted = Post(m.ended(), pod);
        break;
      default:
        break;
    }
  }

  void Perform(const coordinator::Action& action) {
    if (!running()) return;
    if (const auto* send = std::get_if<coordinator::Send>(&action)) {
      Check(*send->message);
      const auto link = links_.find(send->pod);
      if (link != links_.end()) link->second->ToWarden(*send->message);
    } else if (const auto* arm = std::get_if<coordinator::Arm>(&action)) {
      const auto armed = std::make_shared<int>();
      timers_[arm->kind] = armed;
      sim_.After(arm->after, armed, [this, kind = arm->kind] {
        timers_.erase(kind);
        (void)Post(coordinator::Timer{kind});
      });
    } else if (const auto* disarm = std::get_if<coordinator::Disarm>(&action)) {
      timers_.erase(disarm->kind);
    } else if (std::holds_alternative<coordinator::Ask>(action)) {
      AskSlurm();
    } else if (const auto* requeue = std::get_if<coordinator::Requeue>(&action)) {
      Enqueue([this, how = *requeue] {
        const std::string error = slurm_.away()          ? "Slurm does not answer"
                                  : !slurm_.Requeue(how) ? "not in this state"
                                  : sim_.Fault(0.05)     ? "the answer was lost"
                                                         : "";
        return [this, error] { (void)Post(coordinator::RequeueResult{error}); };
      });
    } else if (std::holds_alternative<coordinator::Cancel>(action)) {
      Enqueue([this] {
        if (!slurm_.away()) slurm_.Cancel();
        return [] {};
      });
    } else if (const auto* amend = std::get_if<coordinator::Amend>(&action)) {
      Enqueue([this, change = *amend] {
        if (!slurm_.away()) slurm_.Apply(change);
        return [] {};
      });
    } else if (const auto* counted = std::get_if<coordinator::Count>(&action)) {
      policy_.interruptions.count += counted->more.count;
      policy_.interruptions.node_time += counted->more.node_time;
    }
  }
  // What is to be restored, when it is.
  void Check(const v1::ToWarden& message) {
    if (!message.has_welcome() || message.welcome().network().peers().empty()) return;
    const v1::Welcome& welcome = message.welcome();
    if (job_->request.from_start) return;
    uint32_t newest = 0;
    for (const uint32_t number : world_.storage.committed)
      if (!std::ranges::contains(job_->bad, number)) newest = number;
    if (world_.storage.committed.contains(job_->request.checkpoint))
      newest = job_->request.checkpoint;
    if (welcome.restore_checkpoint() != newest)
      sim_.Violate(fmt::format("checkpoint {} is to be restored, and not {}",
                               welcome.restore_checkpoint(), newest));
  }

  // One call to Slurm after the other. It takes effect there at some time, and returns what is done
  // with the answer.
  using Call = std::function<std::function<void()>()>;
  void Enqueue(Call call) {
    lane_.push_back(std::move(call));
    if (!busy_) Next();
  }
  void Next() {
    if (lane_.empty()) return;
    busy_ = true;
    Later(Some(), [this, call = std::move(lane_.front())] {
      Later(Some(), [this, answer = call()] {
        answer();
        if (!running()) return;
        busy_ = false;
        Next();
      });
    });
    lane_.pop_front();
  }
  milliseconds Some() {
    if (slurm_.away()) return sim_.Between(1ms, 10s);
    return sim_.Between(0ms, sim_.Fault(0.03) ? 30s : 50ms);
  }
  void AskSlurm() {
    if (std::exchange(asked_, true)) return;
    Enqueue([this] {
      asked_ = false;
      return Load([this] { Later(1s, [this] { AskSlurm(); }); });
    });
  }
  std::function<void()> Load(std::function<void()> otherwise) {
    if (slurm_.away()) return otherwise;
    Record record = slurm_.Look();
    record.asked_ns = sim_.now_ns();
    return [this, record] { (void)Post(record); };
  }
  void Poll() {
    Later(4s, [this] {
      Poll();
      if (!job_ || job_->stage == Stage::kEnded || std::exchange(polling_, true)) return;
      Enqueue([this] {
        polling_ = false;
        return Load([] {});
      });
    });
  }
  void Later(milliseconds delay, std::function<void()> what) {
    sim_.After(delay, life_, std::move(what));
  }

  Surroundings& world_;
  Simulation& sim_;
  Slurm& slurm_;
  coordinator::Policy policy_;
  std::shared_ptr<int> life_;
  SteadyTime up_since_;
  std::string journal_;
  bool decided_ = false;
  std::optional<Job> job_;
  std::map<uint32_t, std::shared_ptr<Connection>> links_;
  std::vector<std::shared_ptr<Connection>> callers_;  // not admitted yet
  std::map<TimerKind, std::shared_ptr<int>> timers_;
  std::deque<Call> lane_;
  bool busy_ = false;
  bool asked_ = false;
  bool polling_ = false;
};

}  // namespace holdfast::simulation
