// From the Hellos of a start to a running job. What is restored is decided here: storage's word, as
// pod 0 brings it, on what exists; the journal's on what the job has already done.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "coordinator/job_codec.h"
#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

// Outer IPv4 + UDP + VXLAN + inner Ethernet headers: RFC 7348.
constexpr uint32_t kVxlanOverheadBytes = 50;

// The script had ended, and Slurm starts it again: nothing of the run before counts.
void ForgetRun(Job& job) {
  job.started = !job.requeue.value_or(true);  // its user forbids another
  job.saved_once = job.perhaps_saved = false;
  job.first_checkpoint = job.next_checkpoint;
  job.saved.clear();
  job.bad.clear();
  job.costs.clear();
  job.hostnames.clear();
  job.pod_count = job.asked_nodes = 0;
  job.attempts = 0;
  job.last_error.clear();
  job.move.reset();
  job.renewals = 0;
}

void BeginStart(Turn& turn, const v1::Hello& hello, JobOptions options) {
  Job& job = turn.job;
  if (job.start.ended) ForgetRun(job);
  for (const TimerKind kind :
       {TimerKind::kReconnect, TimerKind::kInterval, TimerKind::kNotice, TimerKind::kRetry,
        TimerKind::kAsk, TimerKind::kLimit, TimerKind::kEnd, TimerKind::kKept})
    turn.Do(Disarm{kind});
  job.options = std::move(options);
  job.checkpoint.reset();
  job.start = Start{.restart_count = hello.restart_count(),
                    .nodes = std::vector<std::string>(hello.pods()),
                    .unmarking = job.departure.marked};
  job.departure = {};
  job.aftermath = {};
  static_cast<Live&>(job) = Live{.pods = std::vector<Pod>(hello.pods()),
                                 .since_ns = turn.now(),
                                 .awaited_start = hello.restart_count()};
  // A wish for other nodes has been granted; nodes where it failed are still to be avoided.
  if (job.attempts == 0) job.exclusions.next.clear();
  turn.Enter(Stage::kGathering, turn.policy.gather_timeout);
}

v1::ToWarden MakeWelcome(const Job& job) {
  v1::ToWarden message;
  v1::Welcome& welcome = *message.mutable_welcome();
  v1::Network& network = *welcome.mutable_network();
  uint32_t mtu = UINT32_MAX;
  for (uint32_t i = 0; i < job.pods.size(); ++i) {
    const Pod& pod = job.pods[i];
    mtu = std::min(mtu, pod.mtu);
    v1::Peer& peer = *network.add_peers();
    peer.set_pod(i);
    peer.set_address(pod.address);
    peer.set_node(job.nodes()[i]);
    if (i < job.hostnames.size()) peer.set_hostname(job.hostnames[i]);
    peer.set_slot(static_cast<uint32_t>(
        std::ranges::count(job.nodes().begin(), job.nodes().begin() + i, job.nodes()[i])));
  }
  network.set_vni(job.vni_of_start());
  network.set_mtu(mtu - std::min(mtu, kVxlanOverheadBytes));
  welcome.set_restore_job(job.start.restore_job);
  welcome.set_restore_checkpoint(job.start.restore_checkpoint);
  welcome.set_note(job.start.note);
  return message;
}

void Welcome(Turn& turn) {
  Job& job = turn.job;
  if (job.move) {
    job.move->to = job.nodes();
    job.move->chosen_ns = turn.now();
    job.move->checkpoint = job.start.restore_checkpoint;
    turn.Do(SaveMove{*job.move});
  }
  turn.Mark("nodes", 0, fmt::format("{}", fmt::join(job.nodes(), ",")));
  if (job.start.restore_job == 0 && job.hostnames.size() != job.pods.size())
    job.hostnames = job.nodes();
  if (job.start.restore_job == 0) job.exclusions.unfit.clear();
  job.pod_count = static_cast<uint32_t>(job.pods.size());
  turn.Enter(Stage::kPreparing, turn.policy.phase_timeout);
  turn.TellAll(MakeWelcome(job));
}

// Messages of CRIU's have several.
std::string InOneLine(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  return text;
}

// As Slurm alone would have it, but not without a word.
void StartOver(Turn& turn) {
  Job& job = turn.job;
  job.start.note =
      fmt::format("job {} was requeued before it could be saved; its script starts over{}", job.id,
                  job.last_error.empty() ? "" : fmt::format(" ({})", InOneLine(job.last_error)));
  turn.Mark("starts-over", 0, job.start.note);
  turn.Do(Comment{job.start.note});
  job.commented = true;
  Welcome(turn);
}

// All wardens are there: fresh, or which checkpoint?
void Decide(Turn& turn) {
  Job& job = turn.job;
  if (job.start.unmarking) {
    turn.Mark("unmarked", 0, "Slurm takes off the mark of a grace time that has passed");
    return Leave(turn, Reason::kPreemption);
  }
  job.start.restore_job = job.start.restore_checkpoint = 0;
  const bool wanted_exists = std::ranges::contains(job.saved, job.request.checkpoint);
  const uint32_t own = wanted_exists ? job.request.checkpoint : job.newest();
  if (job.request.from_start) return Welcome(turn);
  if (job.request.checkpoint != 0 && !wanted_exists)
    return Hold(turn, fmt::format("there is no checkpoint {}; there are {}", job.request.checkpoint,
                                  fmt::join(job.saved, ",")));
  if (own != 0) {
    if (job.pod_count != 0 && job.pod_count != job.pods.size()) return Regroup(turn);
    job.start.restore_job = job.id;
    job.start.restore_checkpoint = own;
    return Welcome(turn);
  }
  if (job.started) {
    switch (ProspectOf(job)) {
      case Prospect::kHold:
        return Hold(turn, fmt::format("no committed checkpoint to restore{}; "
                                      "`holdfast resume {} --from-start` starts it over",
                                      job.bad.empty() ? "" : " but damaged ones: " + job.last_error,
                                      job.id));
      case Prospect::kEnd:
        return RefuseAll(turn,
                         "it has no checkpoint to go on from, and was submitted with --no-requeue");
      case Prospect::kStartOver:
        return StartOver(turn);
    }
  }
  if (job.options.restore_from) {
    job.start.restore_job = job.options.restore_from->job;
    job.start.restore_checkpoint = job.options.restore_from->checkpoint;
  }
  Welcome(turn);
}

// The one before is restored, but not without a word.
void NoteDamage(Turn& turn, const v1::Hello& hello) {
  Job& job = turn.job;
  for (const v1::Damaged& damaged : hello.damaged()) {
    if (damaged.number() < job.first_checkpoint) continue;
    if (!std::ranges::contains(job.bad, damaged.number())) job.bad.push_back(damaged.number());
    job.last_error = fmt::format("checkpoint {}: {}", damaged.number(), damaged.message());
    turn.Mark("damaged", 0, job.last_error);
  }
}

void StartAll(Turn& turn) {
  Job& job = turn.job;
  if (!job.all_connected() || !job.all_in(v1::PHASE_READY)) return;
  if (job.start.restore_job != 0) turn.Mark("restored");
  turn.Do(StartResult{.restore = job.start.restore_job != 0, .failure = {}});
  if (job.move) {
    job.move->restored_ns = turn.now();
    turn.Do(SaveMove{*job.move});
  }
  job.started = true;
  turn.Enter(Stage::kStarting, turn.policy.settle_timeout);
  v1::ToWarden message;
  message.mutable_start();
  turn.TellAll(message);
}

// What pod 0 finds in storage.
void NoteSaved(Turn& turn, const v1::Hello& hello) {
  Job& job = turn.job;
  uint32_t newest = job.next_checkpoint - 1;
  std::vector<uint32_t> found;
  for (const v1::Saved& saved : hello.saved()) {
    newest = std::max(newest, saved.number());
    if (saved.number() >= job.first_checkpoint &&
        saved.pods() == (job.pod_count != 0 ? job.pod_count : job.pods.size()))
      found.push_back(saved.number());
  }
  job.FoundSaved(std::move(found));
  for (const v1::Damaged& damaged : hello.damaged()) newest = std::max(newest, damaged.number());
  job.next_checkpoint = newest + 1;
  if (job.start.restart_count == 0) {
    // Whatever lies there was left by an earlier job with this id.
    job.first_checkpoint = job.next_checkpoint;
    job.saved.clear();
  }
  NoteDamage(turn, hello);
  job.saved_once |= !job.saved.empty() || !job.bad.empty();
  job.perhaps_saved = false;
}

void RunFromNow(Turn& turn) {
  Job& job = turn.job;
  turn.Mark("running");
  job.unsaved_ns = turn.now();
  if (job.move) {
    job.move->running_ns = turn.now();
    turn.Do(SaveMove{*job.move});
    job.move.reset();
  }
  job.exclusions.next.clear();
  job.request.from_start = false;
  job.request.checkpoint = 0;
  job.request.nodes = 0;
  // That it starts over is to be seen as long as it is not saved.
  if (job.commented && job.start.note.empty()) {
    turn.Do(Comment{""});
    job.commented = false;
  }
  job.limit.ran_from_ns = turn.now();
  if (job.renewals > 0 && !job.may_be_renewed())
    turn.Mark("last-run", 0,
              fmt::format("it was requeued {} times at its time limit, and the next one ends it",
                          job.renewals));
  turn.Do(Ask{});  // is it to be preempted, may its script be started again, how long may it run?
  GoOn(turn);
}

}  // namespace

void OnNewStart(Turn& turn, const v1::Hello& hello) {
  Result<JobOptions> options = OptionsOf(hello);
  if (!options) {
    turn.refusal = std::move(options).error().Wrap("the job's options").message();
    return;
  }
  BeginStart(turn, hello, std::move(*options));
  OnHelloGathering(turn, hello);
}

void OnUnforeseenStart(Turn& turn, const v1::Hello& hello) {
  Job& job = turn.job;
  if (!job.pods.empty() && job.started) {
    job.move = Move{.number = ++job.moves,
                    .reason = Reason::kRequeued,
                    .from = job.nodes(),
                    .left_ns = turn.now()};
    CountTime(turn, /*interrupted=*/true);
  }
  OnNewStart(turn, hello);
}

void OnHelloGathering(Turn& turn, const v1::Hello& hello) {
  Job& job = turn.job;
  if (RegroupsAgain(turn, hello)) return;
  if (!NoteHello(turn, hello)) return;
  if (hello.phase() != v1::PHASE_FRESH) {
    // Only a lost journal makes a running job unknown: let it run on.
    job.started = true;
    job.pod_count = hello.pods();
    job.stage = Stage::kRunning;
    Greet(turn);
    return RunOn(turn, hello);
  }
  if (hello.pod() == 0) NoteSaved(turn, hello);
  if (job.all_connected()) Decide(turn);
}

void OnHelloPreparing(Turn& turn, const v1::Hello& hello) {
  Job& job = turn.job;
  if (!NoteHello(turn, hello)) return;
  Greet(turn);
  // Addresses of all are known only when all are there.
  if (!job.all_connected()) return;
  for (uint32_t i = 0; i < job.pods.size(); ++i)
    if (job.pods[i].phase == v1::PHASE_FRESH) turn.Tell(i, MakeWelcome(job));
  StartAll(turn);
}

void OnHelloStarting(Turn& turn, const v1::Hello& hello) {
  if (!ComesBack(turn, hello)) return;
  if (hello.phase() == v1::PHASE_READY) {
    v1::ToWarden message;
    message.mutable_start();
    turn.Tell(hello.pod(), message);
  }
  if (turn.job.all_in(v1::PHASE_RUNNING)) RunFromNow(turn);
}

void OnReady(Turn& turn, const v1::Ready&) {
  turn.pod().phase = v1::PHASE_READY;
  StartAll(turn);
}

void OnRunning(Turn& turn, const v1::Running&) {
  turn.pod().phase = v1::PHASE_RUNNING;
  if (turn.job.all_in(v1::PHASE_RUNNING)) RunFromNow(turn);
}

void GoOn(Turn& turn) {
  turn.Enter(Stage::kRunning);
  if (turn.job.all_run()) TrustAgain(turn);  // all have answered
  PlanInterval(turn);
  PlanTimeLimit(turn);
  GrantWish(turn);
}

}  // namespace holdfast::coordinator
