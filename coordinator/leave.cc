// The way off the nodes and back: requeue, hold, resume, and what a restart of the coordinator asks
// anew.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

constexpr std::array kRunTimers{TimerKind::kPhase,  TimerKind::kReconnect, TimerKind::kInterval,
                                TimerKind::kNotice, TimerKind::kRetry,     TimerKind::kLimit,
                                TimerKind::kEnd};

// What ExcNodeList is to be: the user's own and, for the next start, ours.
std::vector<std::string> WantedExclusions(const Job& job) {
  std::vector<std::string> nodes = job.exclusions.user;
  nodes.insert(nodes.end(), job.exclusions.next.begin(), job.exclusions.next.end());
  nodes.insert(nodes.end(), job.exclusions.unfit.begin(), job.exclusions.unfit.end());
  std::ranges::sort(nodes);
  nodes.erase(std::ranges::unique(nodes).begin(), nodes.end());
  return nodes;
}

}  // namespace

void DisarmRunTimers(Turn& turn) {
  for (const TimerKind kind : kRunTimers) turn.Do(Disarm{kind});
}

void GiveUpCheckpoint(Turn& turn, const std::string& why) {
  Job& job = turn.job;
  if (!job.checkpoint) return;
  // It may have been committed, and nobody has been told: pod 0 tells at the next start.
  if (job.stage == Stage::kCommitting) job.perhaps_saved = true;
  if (job.checkpoint->committed_ns == 0 && job.checkpoint->error.empty()) {
    job.checkpoint->error = why;
    job.checkpoint->code = CodeName(Code::kCancelled);
    turn.Do(SaveCheckpoint{*job.checkpoint});
  }
  job.checkpoint.reset();
}

void Depart(Turn& turn, Reason reason) {
  Job& job = turn.job;
  CountTime(turn, IsInterruption(reason));
  if (job.started && !job.move) {
    job.move = Move{.number = ++job.moves,
                    .checkpoint = job.newest(),
                    .reason = reason,
                    .from = job.nodes(),
                    .left_ns = turn.now()};
    turn.Do(SaveMove{*job.move});
  }
  if (reason == Reason::kTimeLimit) ++job.renewals;
  GiveUpCheckpoint(turn, std::string("the job left its nodes: ") + ReasonName(reason));
  DisarmRunTimers(turn);
  job.start.wish.reset();
  job.start.suspicion.reset();
  job.start.doubted_end.reset();
  job.since_ns = turn.now();
  job.vacated_s = 0;
  job.departure.hurry = true;
  job.departure.release = false;
  turn.Enter(Stage::kLeaving);
  turn.Do(Arm{TimerKind::kAsk, turn.policy.ask_pause});
}

std::optional<std::vector<std::string>> ChangeExclusions(
    Job& job, std::optional<std::vector<std::string>> present) {
  Exclusions& exclusions = job.exclusions;
  if (present) {
    std::ranges::sort(*present);
    if (*present != exclusions.set && !exclusions.setting) exclusions.user = *present;
  }
  const std::vector<std::string> before = std::exchange(exclusions.set, WantedExclusions(job));
  // What its user has told Slurm since its record came is not overwritten for nothing.
  exclusions.setting =
      present ? *present != exclusions.set : exclusions.setting || before != exclusions.set;
  if (!exclusions.setting) return std::nullopt;
  return exclusions.set;
}

void AskForRequeue(Turn& turn) {
  const Job& job = turn.job;
  turn.Do(Requeue{.hold = job.departure.hold,
                  .restart_count = job.start.restart_count,
                  .unmark = job.start.unmarking});
}

void Leave(Turn& turn, Reason reason) {
  Job& job = turn.job;
  const bool requeued = job.start.eviction && job.start.eviction->requeued;
  Depart(turn, reason);
  if (requeued) return;
  // Slurm holds a suspended job that is requeued, whoever asked for it.
  job.departure.release = job.suspended && !job.departure.hold;
  AskForRequeue(turn);
}

Prospect ProspectOf(const Job& job) {
  if (job.saved_once || job.perhaps_saved || job.options.fallback == Fallback::kHold)
    return Prospect::kHold;
  return job.requeue.value_or(true) ? Prospect::kStartOver : Prospect::kEnd;
}

void Hold(Turn& turn, const std::string& why) {
  turn.job.departure.hold = true;
  turn.job.last_error = why;
  turn.Mark("held", 0, why);
  Leave(turn, Reason::kHold);
}

void OnNoWarden(Turn& turn, const Timer&) {
  Job& job = turn.job;
  job.last_error = fmt::format("start {}: no warden has come; see slurmd's log on its first node",
                               job.awaited_start);
  job.start.restart_count = job.awaited_start;
  job.start.eviction.reset();  // of the start before
  if (++job.attempts >= turn.policy.restore_attempts) return Hold(turn, job.last_error);
  Leave(turn, Reason::kStart);
}

void OnAsk(Turn& turn, const Timer&) { turn.Do(Ask{}); }

void OnRequeueResult(Turn& turn, const RequeueResult& result) {
  if (result.error.empty()) return;
  turn.job.requeue_failed = true;
  turn.job.last_error = "requeueing: " + result.error;
  turn.Mark("requeue-failed", 0, result.error);
  turn.Do(Arm{TimerKind::kAsk, 5 * turn.policy.ask_pause});
}

void OnResume(Turn& turn, const Resume& resume) {
  Job& job = turn.job;
  if (resume.checkpoint != 0 && !std::ranges::contains(job.saved, resume.checkpoint)) {
    turn.refusal = fmt::format("it has no checkpoint {}; there are: {}", resume.checkpoint,
                               fmt::join(job.saved, ", "));
    return;
  }
  if (const auto why = WhyNotOn(job, resume.nodes)) {
    turn.refusal = *why;
    return;
  }
  job.request.from_start = resume.from_start;
  if (resume.from_start) job.exclusions.unfit.clear();
  job.request.checkpoint = resume.checkpoint;
  job.request.nodes = resume.nodes;
  job.exclusions.next = resume.excluded;
  job.attempts = 0;
  job.departure.hold = false;
  job.departure.hurry = true;
  job.departure.release = true;
  job.departure.holding = false;
  if (job.commented) turn.Do(Comment{""});
  job.commented = false;
  turn.Enter(Stage::kWaiting);
  turn.Mark("resume");
  if (resume.nodes != 0) AskForNodes(turn);  // before it may start
  turn.Do(
      Amend{.excluded = ChangeExclusions(job, std::nullopt), .eligible = true, .release = true});
}

void OnResumeElsewhere(Turn& turn, const Resume&) {
  turn.refusal = fmt::format(
      "it is {}, and only a job that waits or is held can be resumed; "
      "`holdfast why {}` says what it is at",
      StateOf(turn.job), turn.job.id);
}

void OnKin(Turn& turn, const Kin& kin) { AddNodes(turn.job.exclusions.unfit, kin.nodes); }

void OnKinWaiting(Turn& turn, const Kin& kin) {
  OnKin(turn, kin);
  turn.Do(Amend{.excluded = ChangeExclusions(turn.job, std::nullopt)});
}

void OnRestarted(Turn& turn, const Restarted&) {
  for (Pod& pod : turn.job.pods) {
    pod.connected = false;
    pod.awaited = true;
  }
  turn.job.commit_sent = false;
  turn.job.confirmed = true;  // as far as is known
}

void OnRestartedRunning(Turn& turn, const Restarted& restarted) {
  OnRestarted(turn, restarted);
  TrustAgain(turn);  // they have all their time again
  turn.Do(Arm{TimerKind::kReconnect, turn.policy.restart_grace});
  turn.Do(Ask{});
}

void OnRestartedGathering(Turn& turn, const Restarted& restarted) {
  turn.Limit(turn.policy.gather_timeout);
  OnRestartedRunning(turn, restarted);
}

void OnRestartedActive(Turn& turn, const Restarted& restarted) {
  turn.Limit(turn.policy.phase_timeout);
  OnRestartedRunning(turn, restarted);
}

void OnRestartedLeaving(Turn& turn, const Restarted& restarted) {
  OnRestarted(turn, restarted);
  turn.job.requeue_failed = true;  // it may not have been asked for
  turn.Do(Ask{});
}

void OnRestartedEnding(Turn& turn, const Restarted& restarted) {
  OnRestarted(turn, restarted);
  turn.Do(Arm{TimerKind::kPhase, turn.policy.settle_timeout});
  turn.Do(Ask{});
}

void OnRestartedEnded(Turn& turn, const Restarted& restarted) {
  OnRestarted(turn, restarted);
  KeepForATime(turn);
}

}  // namespace holdfast::coordinator
