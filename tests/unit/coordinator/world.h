// A small model of everything around the state machine: Slurm, storage, and wardens with streams
// that break. It checks, as messages arrive, what must never happen. Used by the state machine's
// tests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/job_codec.h"
#include "coordinator/state.h"

namespace holdfast::coordinator {

class World {
 public:
  // What a pod is really like, whatever the coordinator believes.
  struct Warden {
    bool alive = false;
    bool connected = false;
    bool knows_coordinator = false;  // has seen its credential, on this stream
    v1::Phase phase = v1::PHASE_FRESH;
    uint32_t checkpoint = 0;
    uint32_t committed = 0;
    uint32_t round = 0;     // pod 0: it has stored all, and asked so often
    bool promised = false;  // to stay frozen, until pod 0 has asked long ago
    std::deque<v1::ToWarden> inbox;
    std::deque<v1::FromWarden> outbox;
  };
  enum class Fault { kNone, kCreate, kUnfit, kPrepare, kCommit };

  explicit World(uint32_t pods) : wardens(pods), notice_seconds(pods), saved_pods(pods) {
    job.id = 7;
    options.keep = 2;
  }

  Job job;
  Policy policy;
  JobOptions options{.checkpoint = true};
  std::vector<Warden> wardens;
  std::vector<uint32_t> notice_seconds;  // by pod
  uint32_t saved_pods;                   // of each checkpoint
  std::optional<Spread> spread;          // that Slurm was asked for last
  std::optional<FindKin> find_kin;       // likewise
  uint32_t warning_seconds = 0;
  std::set<uint32_t> committed;                         // in storage
  std::map<uint32_t, std::string> damaged;              // in storage too, with what is wrong
  std::map<std::pair<uint32_t, uint32_t>, bool> parts;  // (checkpoint, pod): durable
  std::set<TimerKind> timers;
  std::chrono::milliseconds interval{0};  // as last armed
  Record slurm{.state = Record::State::kRunning, .job_id = 7, .start_time = 1, .requeue = true};
  uint32_t start = 0;       // of the wardens: Slurm counts up as soon as it takes them away
  bool check_kept = true;   // at every step, not only at restarts
  bool mark_stays = false;  // Slurm never takes it off
  bool ran = false;         // some process of the job has run
  int deliveries = 0;
  std::string note;  // that the script began with
  int requeues = 0;
  std::string comment;
  std::vector<TimelineEvent> events;
  std::vector<Checkpoint> history;
  int64_t now = 1'000'000'000'000;

  Status Happen(decltype(Event::body) body, uint32_t pod = 0) {
    now += 1'000'000;
    const Event event{.unix_ns = now, .pod = pod, .body = std::move(body)};
    const Job before = job;
    auto actions = Step(job, event, policy);
    if (!actions) return std::unexpected(actions.error());
    EXPECT_TRUE(MayLead(before, event, job.stage))
        << "not in the table: " << EventName(event) << " leads from " << StageName(before.stage)
        << " to " << StageName(job.stage);
    if (check_kept) (void)Kept();
    for (const Action& action : *actions) Do(action);
    return {};
  }

  // What another process would read of the job.
  Durable Kept() const {
    const Result<Durable> read = ParseJob(Serialize(job));
    EXPECT_TRUE(read) << read.error().message();
    EXPECT_TRUE(*read == static_cast<const Durable&>(job)) << "something of it is not kept";
    return *read;
  }

  v1::Hello HelloOf(uint32_t pod) const {
    const Warden& warden = wardens[pod];
    v1::Hello hello;
    hello.set_job_id(job.id);
    hello.set_restart_count(start);
    hello.set_pod(pod);
    hello.set_pods(static_cast<uint32_t>(wardens.size()));
    hello.set_node(NodeOf(pod));
    hello.set_mtu(1500);
    hello.set_job_options(EncodeOptions(options));
    hello.set_notice_seconds(notice_seconds[pod]);
    hello.set_warning_seconds(warning_seconds);
    hello.set_phase(warden.phase);
    hello.set_checkpoint(warden.checkpoint);
    hello.set_committed(warden.committed);
    hello.set_asks_before_commit(true);
    if (warden.phase == v1::PHASE_PREPARED || warden.phase == v1::PHASE_COMMITTED) {
      hello.mutable_prepared()->set_checkpoint(warden.checkpoint);
      hello.mutable_prepared()->mutable_part()->set_pod(pod);
    }
    if (pod != 0) return hello;
    for (const uint32_t number : committed) AddSaved(*hello.add_saved(), number);
    for (const auto& [number, message] : damaged) {
      v1::Damaged& found = *hello.add_damaged();
      found.set_number(number);
      found.set_message(message);
    }
    return hello;
  }
  std::string NodeOf(uint32_t pod) const { return "n" + std::to_string((pod + start * 2) % 4 + 1); }

  // Slurm starts the job: wardens are there, and have not said Hello.
  void StartJob() {
    slurm.state = Record::State::kRunning;
    slurm.state_name = "RUNNING";
    slurm.completing = slurm.held = false;
    slurm.preempt_time = 0;
    start = slurm.restart_count;
    for (Warden& warden : wardens) warden = Warden{.alive = true};
  }
  // On so many nodes.
  void StartJobOn(uint32_t nodes) {
    wardens.resize(nodes);
    notice_seconds.resize(nodes);
    StartJob();
  }
  void Connect(uint32_t pod) {
    wardens[pod].connected = true;
    wardens[pod].knows_coordinator = false;
    const Status posted = Happen(HelloOf(pod), pod);
    if (!posted) wardens[pod] = Warden{};  // refused
  }
  void Disconnect(uint32_t pod) {
    Warden& warden = wardens[pod];
    if (!warden.connected) return;
    warden.connected = false;
    warden.inbox.clear();
    warden.outbox.clear();
    (void)Happen(Lost{}, pod);
  }
  void KillPods() {
    for (uint32_t pod = 0; pod < wardens.size(); ++pod) {
      wardens[pod].alive = false;
      Disconnect(pod);
    }
  }
  // The coordinator is killed and comes back with what the journal keeps.
  void RestartCoordinator() {
    for (Warden& warden : wardens) {
      warden.connected = false;
      warden.inbox.clear();
      warden.outbox.clear();
    }
    timers.clear();
    requeue_asked_ = asked_ = false;
    job = Revive(Kept());
    if (!job.pods.empty()) (void)Happen(Restarted{});
  }

  // The warden acts on its oldest message.
  void Read(uint32_t pod, Fault fault = Fault::kNone) {
    Warden& warden = wardens[pod];
    const v1::ToWarden message = warden.inbox.front();
    warden.inbox.pop_front();
    EXPECT_TRUE(warden.knows_coordinator || message.has_welcome())
        << "it believes nobody that it does not know: " << message.ShortDebugString();
    warden.knows_coordinator = true;
    v1::FromWarden answer;
    if (message.has_welcome())
      ReadWelcome(warden, message.welcome(), fault, answer);
    else if (message.has_start())
      ReadStart(warden, answer);
    else if (message.has_precopy())
      ReadPrecopy(warden, message.precopy(), answer);
    else if (message.has_prepare())
      ReadPrepare(warden, pod, message.prepare(), fault, answer);
    else if (message.has_commit())
      ReadCommit(warden, pod, message.commit(), fault, answer);
    else if (message.has_stay())
      ReadStay(warden, message.stay(), answer);
    else if (message.has_confirm())
      ReadConfirm(warden, message.confirm(), answer);
    else if (message.has_settle())
      ReadSettle(warden, pod, message.settle(), answer);
    else if (message.has_deliver())
      ++deliveries;
    else if (message.has_regroup())
      BeginAnew(message.regroup().pods());
    else if (message.has_finish() || message.has_refuse())
      ended_ = true;
    // After BeginAnew there is none, and no such warden.
    if (answer.body_case() != v1::FromWarden::BODY_NOT_SET) warden.outbox.push_back(answer);
  }
  // The coordinator gets the warden's oldest message.
  Status Hear(uint32_t pod) {
    const v1::FromWarden m = wardens[pod].outbox.front();
    wardens[pod].outbox.pop_front();
    if (m.has_ready()) return Happen(m.ready(), pod);
    if (m.has_running()) return Happen(m.running(), pod);
    if (m.has_precopied()) return Happen(m.precopied(), pod);
    if (m.has_prepared()) return Happen(m.prepared(), pod);
    if (m.has_stored()) return Happen(m.stored(), pod);
    if (m.has_stays()) return Happen(m.stays(), pod);
    if (m.has_committed()) return Happen(m.committed(), pod);
    if (m.has_settled()) return Happen(m.settled(), pod);
    return Happen(m.failed(), pod);
  }
  void Fire(TimerKind kind) {
    timers.erase(kind);
    EXPECT_TRUE(Happen(Timer{kind}));
  }

  bool asked() const { return asked_; }
  void AnswerAsk() {
    asked_ = false;
    slurm.asked_ns = now;
    (void)Happen(slurm);
  }
  bool requeue_asked() const { return requeue_asked_; }
  void DoRequeue() {
    requeue_asked_ = false;
    const bool ended = slurm.may_return();
    if (slurm.state == Record::State::kRunning || ended) {
      slurm.state = Record::State::kPending;
      slurm.state_name = "PENDING";
      slurm.held = requeue_hold_;
      slurm.marked &= !requeue_unmarks_ || mark_stays;
      ++slurm.restart_count;
      if (!ended) {
        slurm.completing = true;
        KillPods();
      }
    }
    (void)Happen(RequeueResult{});
  }
  // Slurm takes the job away and leaves it KillWait; with PreemptMode=CANCEL it has then ended.
  void Evict(bool cancel) {
    slurm.state = cancel ? Record::State::kTerminal : Record::State::kPending;
    slurm.state_name = cancel ? "PREEMPTED" : "PENDING";
    slurm.completing = true;
    slurm.kill_wait_seconds = 30;
    if (!cancel) ++slurm.restart_count;
    v1::Notice notice;
    notice.set_signal(SIGTERM);
    for (uint32_t pod = 0; pod < wardens.size(); ++pod)
      if (wardens[pod].connected) (void)Happen(notice, pod);
  }
  // Slurm has cleaned up after a requeued job, or after one that ended.
  void Clean() {
    KillPods();
    slurm.completing = false;
    slurm.start_time = now / 1'000'000'000;
  }
  // And the coordinator has seen it, twice if it has to.
  void Vacate() {
    Clean();
    for (int look = 0; look < 2 && job.stage == Stage::kLeaving; ++look) {
      Fire(TimerKind::kAsk);
      Settle();
      now += 1'000'000'000;
    }
  }
  // The job's wardens were told to go: its batch step ends.
  bool told_to_end() const { return ended_; }
  void EndJob() {
    ended_ = false;
    slurm.state = Record::State::kTerminal;
    slurm.state_name = "COMPLETED";
    KillPods();
    slurm.asked_ns = now;
    (void)Happen(slurm);
  }

  // Lets everything happen that is due, without faults and without timers, until nothing is.
  void Settle() {
    for (int i = 0; i < 10'000; ++i)
      if (!Advance()) return;
    FAIL() << "never comes to rest, in stage " << StageName(job.stage);
  }
  bool Advance() {
    for (uint32_t pod = 0; pod < wardens.size(); ++pod) {
      Warden& warden = wardens[pod];
      if (warden.alive && !warden.connected) return Connect(pod), true;
      if (!warden.inbox.empty()) return Read(pod), true;
      if (!warden.outbox.empty()) return (void)Hear(pod), true;
    }
    if (requeue_asked_) return DoRequeue(), true;
    if (asked_) return AnswerAsk(), true;
    if (ended_) return EndJob(), true;
    return false;
  }
  // From the queue, through the requeue, to wherever it comes to rest on its new nodes.
  void RunThroughQueue() {
    Settle();
    ASSERT_EQ(job.stage, Stage::kLeaving);
    Vacate();
    if (slurm.held) return;
    ASSERT_EQ(job.stage, Stage::kWaiting);
    StartJob();
    Settle();
  }

 private:
  // The pod step ends, and begins with so many tasks.
  void BeginAnew(uint32_t pods) {
    KillPods();
    wardens.assign(pods, Warden{.alive = true});
    notice_seconds.resize(pods);
  }

  void AddSaved(v1::Saved& saved, uint32_t number) const {
    saved.set_number(number);
    saved.set_pods(saved_pods);
  }

  void Do(const Action& action) {
    if (const auto* send = std::get_if<Send>(&action)) {
      ASSERT_TRUE(wardens[send->pod].connected) << "told a pod that is away";
      wardens[send->pod].inbox.push_back(*send->message);
    } else if (const auto* arm = std::get_if<Arm>(&action)) {
      timers.insert(arm->kind);
      if (arm->kind == TimerKind::kInterval) interval = arm->after;
    } else if (const auto* disarm = std::get_if<Disarm>(&action)) {
      timers.erase(disarm->kind);
    } else if (std::holds_alternative<Ask>(action)) {
      asked_ = true;
    } else if (const auto* requeue = std::get_if<Requeue>(&action)) {
      requeue_asked_ = true;
      requeue_hold_ = requeue->hold;
      requeue_unmarks_ = requeue->unmark;
      ++requeues;
    } else if (std::holds_alternative<Cancel>(action)) {
      slurm.state = Record::State::kTerminal;
      slurm.state_name = "CANCELLED";
    } else if (const auto* amend = std::get_if<Amend>(&action)) {
      if (amend->requeue) slurm.requeue = *amend->requeue;
      if (amend->excluded) slurm.excluded = *amend->excluded;
      if (amend->spread) spread = amend->spread;
      if (amend->not_before != 0) slurm.begin_time = amend->not_before;
      if (amend->hold) slurm.held = true;
      if (amend->release) slurm.held = false;
    } else if (const auto* find = std::get_if<FindKin>(&action)) {
      find_kin = *find;
    } else if (const auto* text = std::get_if<Comment>(&action)) {
      comment = text->text;
    } else if (const auto* counted = std::get_if<Count>(&action)) {
      policy.interruptions.count += counted->more.count;
      policy.interruptions.node_time += counted->more.node_time;
    } else if (const auto* event = std::get_if<TimelineEvent>(&action)) {
      events.push_back(*event);
    } else if (const auto* save = std::get_if<SaveCheckpoint>(&action)) {
      history.push_back(save->checkpoint);
    }
  }

  void ReadWelcome(Warden& warden, const v1::Welcome& welcome, Fault fault,
                   v1::FromWarden& answer) {
    if (warden.phase != v1::PHASE_FRESH || welcome.network().peers().empty()) return;
    ASSERT_EQ(welcome.network().peers_size(), static_cast<int>(wardens.size()));
    note = welcome.note();
    if (welcome.restore_job() == 0) {
      EXPECT_TRUE(!ran || job.request.from_start || !note.empty()) << "started over";
    } else {
      EXPECT_TRUE(committed.contains(welcome.restore_checkpoint())) << "restores nothing";
    }
    if (fault == Fault::kCreate) {
      answer.mutable_failed()->set_phase(v1::PHASE_FRESH);
      answer.mutable_failed()->set_code("unavailable");
      answer.mutable_failed()->set_message("creation failed");
      return;
    }
    if (fault == Fault::kUnfit) {
      answer.mutable_failed()->set_phase(v1::PHASE_FRESH);
      answer.mutable_failed()->set_code("unfit");
      answer.mutable_failed()->set_message("this node's CPU lacks: avx512f");
      return;
    }
    warden.phase = v1::PHASE_READY;
    answer.mutable_ready();
  }

  void ReadStart(Warden& warden, v1::FromWarden& answer) {
    if (warden.phase != v1::PHASE_READY) return;
    for (const Warden& other : wardens)
      EXPECT_TRUE(!other.alive || other.phase != v1::PHASE_FRESH) << "started before all are ready";
    ran = true;
    warden.phase = v1::PHASE_RUNNING;
    answer.mutable_running();
  }

  void ReadPrecopy(const Warden& warden, const v1::Precopy& precopy, v1::FromWarden& answer) {
    if (warden.phase != v1::PHASE_RUNNING) return;
    answer.mutable_precopied()->set_checkpoint(precopy.checkpoint());
  }

  void ReadPrepare(Warden& warden, uint32_t pod, const v1::Prepare& prepare, Fault fault,
                   v1::FromWarden& answer) {
    if (warden.phase != v1::PHASE_RUNNING) return;
    warden.checkpoint = prepare.checkpoint();
    if (fault == Fault::kPrepare) {
      answer.mutable_failed()->set_phase(v1::PHASE_PREPARING);
      answer.mutable_failed()->set_checkpoint(prepare.checkpoint());
      answer.mutable_failed()->set_message("Error (criu): io_uring");
      return;
    }
    warden.phase = v1::PHASE_PREPARED;
    parts[{prepare.checkpoint(), pod}] = true;
    answer.mutable_prepared()->set_checkpoint(prepare.checkpoint());
    answer.mutable_prepared()->mutable_part()->set_pod(pod);
  }

  void ReadCommit(Warden& warden, uint32_t pod, const v1::Commit& commit, Fault fault,
                  v1::FromWarden& answer) {
    const uint32_t number = commit.checkpoint();
    EXPECT_EQ(pod, 0U);
    if (warden.phase != v1::PHASE_PREPARED || warden.checkpoint != number) return;
    if (fault == Fault::kCommit) {
      answer.mutable_failed()->set_phase(v1::PHASE_PREPARED);
      answer.mutable_failed()->set_checkpoint(number);
      answer.mutable_failed()->set_message("no space");
      return;
    }
    EXPECT_EQ(commit.parts_size(), static_cast<int>(wardens.size()));
    AskToCommit(warden, answer);
  }

  static void AskToCommit(Warden& warden, v1::FromWarden& answer) {
    answer.mutable_stored()->set_checkpoint(warden.checkpoint);
    answer.mutable_stored()->set_round(++warden.round);
  }

  static void ReadStay(Warden& warden, const v1::Stay& stay, v1::FromWarden& answer) {
    if (warden.phase != v1::PHASE_PREPARED || warden.checkpoint != stay.checkpoint()) return;
    warden.promised = true;
    answer.mutable_stays()->set_checkpoint(stay.checkpoint());
    answer.mutable_stays()->set_round(stay.round());
  }

  void ReadConfirm(Warden& warden, const v1::Confirm& confirm, v1::FromWarden& answer) {
    const uint32_t number = confirm.checkpoint();
    if (warden.phase != v1::PHASE_PREPARED || warden.checkpoint != number) return;
    if (confirm.round() != warden.round) return;
    for (uint32_t i = 0; i < wardens.size(); ++i) {
      EXPECT_TRUE((parts[{number, i}])) << "commits what pod " << i << " has not saved";
      EXPECT_TRUE(!wardens[i].alive || wardens[i].phase == v1::PHASE_PREPARED)
          << "commits, and pod " << i << " has gone on";
    }
    committed.insert(number);
    warden.phase = v1::PHASE_COMMITTED;
    warden.committed = number;
    answer.mutable_committed()->set_checkpoint(number);
    for (const uint32_t saved : committed)
      AddSaved(*answer.mutable_committed()->add_saved(), saved);
  }

  void ReadSettle(Warden& warden, uint32_t pod, const v1::Settle& settle, v1::FromWarden& answer) {
    const uint32_t number = settle.checkpoint();
    if (settle.how() == v1::Settle::RELEASE) {
      EXPECT_TRUE(committed.contains(number)) << "releases without a commit";
      warden.phase = v1::PHASE_RELEASED;
    } else {
      if (settle.how() == v1::Settle::ABORT) {
        EXPECT_FALSE(committed.contains(number)) << "aborts what was committed";
        parts.erase({number, pod});
      }
      if (warden.phase >= v1::PHASE_PREPARING && warden.phase <= v1::PHASE_COMMITTED)
        warden.phase = v1::PHASE_RUNNING;
    }
    answer.mutable_settled()->set_checkpoint(number);
    answer.mutable_settled()->set_how(settle.how());
  }

  bool asked_ = false;
  bool requeue_asked_ = false;
  bool requeue_hold_ = false;
  bool requeue_unmarks_ = false;
  bool ended_ = false;
};

}  // namespace holdfast::coordinator
