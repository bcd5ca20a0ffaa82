// The way out: requeue and hold, end, and what to do about a job that has lost a part of itself.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

constexpr std::array kRunTimers{TimerKind::kPhase, TimerKind::kReconnect, TimerKind::kInterval,
                                TimerKind::kNotice, TimerKind::kRetry,    TimerKind::kEnd};

bool AnyConnected(const Job& job) { return std::ranges::any_of(job.pods, &Pod::connected); }

// Slurm was asked before this start of the job, or its departure, began.
bool IsStale(const Turn& turn, const Record& record) {
  return record.asked_ns < turn.job.since_ns;
}

bool IsOver(const Job& job, const Record& record) {
  if (record.state == Record::State::kGone) return true;
  return record.state == Record::State::kTerminal && (!record.completing || !AnyConnected(job));
}

void End(Turn& turn, const std::string& how) {
  CountTime(turn, /*interrupted=*/false);
  for (const TimerKind kind : kRunTimers) turn.Do(Disarm{kind});
  turn.Do(Disarm{TimerKind::kAsk});
  turn.Enter(Stage::kEnded);
  turn.Mark("ended", 0, how);
  KeepForATime(turn);
}

// A checkpoint in flight is dropped from the job; the next start's Hello tells whether it exists.
void GiveUpCheckpoint(Turn& turn, const std::string& why) {
  Job& job = turn.job;
  if (!job.checkpoint) return;
  if (job.checkpoint->committed_ns == 0 && job.checkpoint->error.empty()) {
    job.checkpoint->error = why;
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
  GiveUpCheckpoint(turn, std::string("the job left its nodes: ") + ReasonName(reason));
  for (const TimerKind kind : kRunTimers) turn.Do(Disarm{kind});
  job.start.wish.reset();
  job.start.suspicion.reset();
  job.start.doubted_end.reset();
  job.since_ns = turn.now();
  job.departure.hurry = true;
  turn.Enter(Stage::kLeaving);
  turn.Do(Arm{TimerKind::kAsk, turn.policy.ask_pause});
}

// What ExcNodeList is to be: the user's own and, for the next start, ours.
std::vector<std::string> WantedExclusions(const Job& job) {
  std::vector<std::string> nodes = job.exclusions.user;
  nodes.insert(nodes.end(), job.exclusions.next.begin(), job.exclusions.next.end());
  std::ranges::sort(nodes);
  nodes.erase(std::ranges::unique(nodes).begin(), nodes.end());
  return nodes;
}

std::optional<std::vector<std::string>> ChangeExclusions(Job& job,
                                                         std::vector<std::string> present) {
  std::ranges::sort(present);
  if (present != job.exclusions.set) job.exclusions.user = present;
  job.exclusions.set = WantedExclusions(job);
  if (job.exclusions.set == present) return std::nullopt;
  return job.exclusions.set;
}

// It is pending, and nothing of it is left on its old nodes.
void Arrive(Turn& turn, const Record& record) {
  Job& job = turn.job;
  turn.Do(Disarm{TimerKind::kAsk});
  turn.Mark("requeued", job.move ? turn.now() - job.move->left_ns : 0);
  if (job.move) {
    job.move->requeued_ns = turn.now();
    turn.Do(SaveMove{*job.move});
  }
  Amend amend{.excluded = ChangeExclusions(job, record.excluded)};
  if (job.departure.hold) {
    amend.hold = !record.held;
    turn.Enter(Stage::kHeld);
    turn.Do(Comment{fmt::format("{}; next: holdfast resume {}",
                                job.last_error.empty()
                                    ? fmt::format("saved as checkpoint {} and held", job.newest())
                                    : job.last_error,
                                job.id)});
    job.commented = true;
  } else {
    amend.eligible = true;
    amend.release = record.held && record.requeued_too_often;
    turn.Enter(Stage::kWaiting);
  }
  turn.Do(std::move(amend));
}

// One look at how far the requeue has got.
void Follow(Turn& turn, const Record& record) {
  Job& job = turn.job;
  if (record.state_name == "PREEMPTED" && !record.completing) {
    // Its partition's PreemptMode is not REQUEUE.
    turn.Do(Requeue{job.departure.hold});
    return turn.Do(Arm{TimerKind::kAsk, turn.policy.ask_pause});
  }
  if (IsOver(job, record)) return End(turn, record.state_name);
  if (record.state == Record::State::kPending && !record.completing) return Arrive(turn, record);
  if (record.state == Record::State::kRunning && record.restart_count > job.start.restart_count) {
    // Started again already. Its wardens decide what becomes of it.
    turn.Do(Disarm{TimerKind::kAsk});
    return turn.Enter(Stage::kWaiting);
  }
  if (record.state == Record::State::kRunning && job.requeue_failed) {
    job.requeue_failed = false;
    turn.Do(Requeue{job.departure.hold});
  }
  turn.Do(Arm{TimerKind::kAsk, turn.policy.ask_pause});
}

bool IsGood(const v1::Ended& ended) { return ended.exit_code() == 0 && ended.signal() == 0; }

std::string Describe(const v1::Ended& ended) {
  return ended.signal() != 0 ? fmt::format("signal {}", ended.signal())
                             : fmt::format("exit code {}", ended.exit_code());
}

void EndScript(Turn& turn, v1::Ended ended) {
  Job& job = turn.job;
  job.start.doubted_end.reset();
  NoteEnd(turn, IsGood(ended));
  GiveUpCheckpoint(turn, "the job ended meanwhile");
  turn.Mark("script-ended", 0, Describe(ended));
  CountTime(turn, /*interrupted=*/false);
  for (uint32_t pod = 0; pod < job.pods.size(); ++pod) TellTheEnd(turn, pod);
  for (const TimerKind kind : kRunTimers) turn.Do(Disarm{kind});
  turn.Enter(Stage::kEnding);
}

// A node that dies takes the program with it: mpirun on another node sees a connection close and
// ends (Open MPI's even with exit code 0), and news of that can be here before the node is missed.
// Pods that are all right end after pod 0's, and say so.
bool MayBeALostNodesDoing(const Job& job) {
  return job.newest() != 0 && !job.all_in(v1::PHASE_ENDED);
}

void BlameLostNode(Turn& turn) {
  Job& job = turn.job;
  turn.Do(Disarm{TimerKind::kEnd});
  Suspect(turn, fmt::format("a node was lost, and the script ended with {}",
                            Describe(*job.start.doubted_end)));
  job.start.doubted_end.reset();
}

// After a restart of the coordinator all are away; only one that was there, or has had its time to
// come back, can be lost.
std::vector<std::string> LostNodes(const Job& job) {
  std::vector<std::string> nodes;
  for (uint32_t i = 0; i < job.pods.size(); ++i)
    if (!job.pods[i].connected && !job.pods[i].awaited && !job.nodes()[i].empty())
      nodes.push_back(job.nodes()[i]);
  return nodes;
}

// Slurm says that the job runs, but it has lost a part of itself.
void Break(Turn& turn) {
  Job& job = turn.job;
  const Suspicion suspicion = *std::exchange(job.start.suspicion, std::nullopt);
  const std::string& why = suspicion.why;
  turn.Mark("broken", 0, why);
  job.last_error = why;
  AddNodes(job.exclusions.next, suspicion.nodes);
  AddNodes(job.exclusions.next, LostNodes(job));
  const bool may_be_saved = job.newest() != 0 || job.stage == Stage::kCommitting;
  if (job.started && !may_be_saved)
    return RefuseAll(turn, why + "; it has no checkpoint to go back to");
  if (++job.attempts >= turn.policy.restore_attempts)
    return Hold(turn, fmt::format("{} (failure {} without progress)", why, job.attempts));
  Leave(turn, Reason::kFailure);
}

}  // namespace

void Leave(Turn& turn, Reason reason) {
  Depart(turn, reason);
  turn.Do(Requeue{turn.job.departure.hold});
}

void Hold(Turn& turn, const std::string& why) {
  turn.job.departure.hold = true;
  turn.job.last_error = why;
  turn.Mark("held", 0, why);
  Leave(turn, Reason::kHold);
}

void Suspect(Turn& turn, const std::string& why) {
  if (!turn.job.start.suspicion) turn.job.start.suspicion = Suspicion{why, LostNodes(turn.job)};
  turn.Do(Ask{});
}

void RefuseAll(Turn& turn, const std::string& why) {
  Job& job = turn.job;
  if (!AnyConnected(job)) return Hold(turn, why);
  job.last_error = why;
  GiveUpCheckpoint(turn, why);
  turn.Mark("refused", 0, why);
  turn.Do(Comment{why});
  job.commented = true;
  job.start.refused = true;
  for (uint32_t pod = 0; pod < job.pods.size(); ++pod) TellTheEnd(turn, pod);
  for (const TimerKind kind : kRunTimers) turn.Do(Disarm{kind});
  turn.Enter(Stage::kEnding, turn.policy.settle_timeout);
}

void TellTheEnd(Turn& turn, uint32_t pod) {
  v1::ToWarden message;
  if (turn.job.start.refused)
    message.mutable_refuse()->set_message(turn.job.last_error);
  else
    message.mutable_finish()->set_remove_checkpoints(turn.job.aftermath.ended_well && pod == 0);
  turn.Tell(pod, std::move(message));
}

void OnEndingTimeout(Turn& turn, const Timer&) {
  // Nobody is left to end the job with an error, so it is taken off its nodes.
  if (turn.job.start.refused && !AnyConnected(turn.job)) return Hold(turn, turn.job.last_error);
  turn.Do(Arm{TimerKind::kPhase, turn.policy.settle_timeout});
}

void OnLost(Turn& turn, const Lost&) {
  Job& job = turn.job;
  turn.pod().connected = false;
  if (turn.event.pod == 0) job.commit_sent = false;
  if (!IsActive(job.stage) || job.stage == Stage::kGathering) return;
  turn.Do(Arm{TimerKind::kReconnect, turn.policy.reconnect_grace});
  if (job.start.doubted_end && turn.event.pod != 0) return BlameLostNode(turn);
  turn.Do(Ask{});
}

void OnReconnectTimeout(Turn& turn, const Timer&) {
  Job& job = turn.job;
  std::vector<std::string> lost;
  for (uint32_t i = 0; i < job.pods.size(); ++i) {
    job.pods[i].awaited = false;
    if (!job.pods[i].connected) lost.push_back(turn.Name(i));
  }
  if (lost.empty() || job.stage == Stage::kGathering) return;
  const std::string why =
      fmt::format("the warden did not come back: {}", fmt::join(lost, ", "));
  if (job.stage == Stage::kPrecopying || job.stage == Stage::kFreezing) Abort(turn, why);
  if (job.start.doubted_end && job.pods[0].connected) return BlameLostNode(turn);
  Suspect(turn, why);
}

void OnEnded(Turn& turn, const v1::Ended& ended) {
  Job& job = turn.job;
  if (turn.pod().phase == v1::PHASE_RELEASED ||
      (job.stage == Stage::kSettling && job.checkpoint->how == v1::Settle::RELEASE))
    return;  // we killed it
  turn.pod().phase = v1::PHASE_ENDED;
  const bool script = turn.event.pod == 0 && job.started;
  if (!script && job.started && IsGood(ended)) {
    // Its root has seen pod 0's go; how that went, pod 0's warden tells.
    if (job.start.doubted_end && job.all_in(v1::PHASE_ENDED))
      EndScript(turn, *job.start.doubted_end);
    return;
  }
  if (!script) {
    const std::string why =
        fmt::format("{}: the pod died: {}{}{}", turn.Name(turn.event.pod), Describe(ended),
                    ended.message().empty() ? "" : ": ", ended.message());
    if (job.stage == Stage::kPrecopying || job.stage == Stage::kFreezing) Abort(turn, why);
    return Suspect(turn, why);
  }
  if (job.start.doubted_end) return;  // said again
  if (!MayBeALostNodesDoing(job)) return EndScript(turn, ended);
  job.start.doubted_end = ended;
  if (!LostNodes(job).empty()) return BlameLostNode(turn);
  if (job.all_connected()) turn.Do(Arm{TimerKind::kEnd, turn.policy.end_doubt});
}

void OnEndBelieved(Turn& turn, const Timer&) {
  if (turn.job.start.doubted_end) EndScript(turn, *turn.job.start.doubted_end);
}

void OnRecordActive(Turn& turn, const Record& record) {
  Job& job = turn.job;
  if (IsStale(turn, record)) return;
  if (record.state == Record::State::kPending) {
    // Requeued by somebody else: an administrator, or Slurm when a node failed.
    Depart(turn, Reason::kRequeued);
    return Follow(turn, record);
  }
  if (IsOver(job, record)) return End(turn, record.state_name);
  if (record.state == Record::State::kTerminal) return DeliverPending(turn);
  if (record.restart_count != job.start.restart_count) return;
  if (job.start.suspicion) return Break(turn);
  job.grace_seconds = record.grace_seconds;
  ConsiderRecord(turn, record);
}

void OnRecordLeaving(Turn& turn, const Record& record) {
  if (!IsStale(turn, record)) Follow(turn, record);
}

void OnRecordWaiting(Turn& turn, const Record& record) {
  Job& job = turn.job;
  if (IsStale(turn, record)) return;
  if (IsOver(job, record)) return End(turn, record.state_name);
  if (record.state == Record::State::kRunning && record.restart_count > job.awaited_start) {
    job.awaited_start = record.restart_count;
    turn.Do(Arm{TimerKind::kPhase, turn.policy.gather_timeout});
  }
  if (record.state != Record::State::kPending) return;
  if (job.stage == Stage::kHeld && !record.held) {
    job.stage = Stage::kWaiting;  // released without asking us
    job.departure.hold = false;
  }
  if (job.stage != Stage::kWaiting) return;
  if (record.unsatisfiable && job.exclusions.set != job.exclusions.user) {
    // Better on one of the nodes it was to avoid than nowhere.
    turn.Mark("exclusion-dropped", 0, fmt::format("{}", fmt::join(job.exclusions.next, ",")));
    job.exclusions.next.clear();
    turn.Do(Amend{.excluded = ChangeExclusions(job, record.excluded), .eligible = true,
                  .release = true});
    return;
  }
  if (!job.departure.hurry) return;
  job.departure.hurry = record.begin_time > turn.now() / 1'000'000'000;
  if (job.departure.hurry) turn.Do(Amend{.eligible = true});
}

void OnNoWarden(Turn& turn, const Timer&) {
  Job& job = turn.job;
  job.last_error = fmt::format("start {}: no warden has come; see slurmd's log on its first node",
                               job.awaited_start);
  job.start.restart_count = job.awaited_start;
  if (++job.attempts >= turn.policy.restore_attempts) return Hold(turn, job.last_error);
  Leave(turn, Reason::kStart);
}

void OnRecordEnding(Turn& turn, const Record& record) {
  if (IsStale(turn, record)) return;
  if (record.state == Record::State::kPending) {
    Depart(turn, Reason::kRequeued);
    return Follow(turn, record);
  }
  if (IsOver(turn.job, record)) End(turn, record.state_name);
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
  job.request.from_start = resume.from_start;
  job.request.checkpoint = resume.checkpoint;
  job.exclusions.next = resume.excluded;
  job.attempts = 0;
  job.departure.hold = false;
  job.departure.hurry = true;
  if (job.commented) turn.Do(Comment{""});
  job.commented = false;
  turn.Enter(Stage::kWaiting);
  turn.Mark("resume");
  turn.Do(Amend{
      .excluded = ChangeExclusions(job, job.exclusions.set), .eligible = true, .release = true});
}

void OnRestarted(Turn& turn, const Restarted&) {
  Job& job = turn.job;
  for (Pod& pod : job.pods) {
    pod.connected = false;
    pod.awaited = true;
  }
  job.commit_sent = false;
  if (job.stage == Stage::kEnded) KeepForATime(turn);
  if (IsActive(job.stage)) {
    if (job.stage != Stage::kRunning) turn.Do(Arm{TimerKind::kPhase, turn.policy.phase_timeout});
    turn.Do(Arm{TimerKind::kReconnect, turn.policy.restart_grace});
    turn.Do(Ask{});
  } else if (job.stage == Stage::kLeaving) {
    job.requeue_failed = true;  // it may not have been asked for
    turn.Do(Ask{});
  } else if (job.stage == Stage::kEnding) {
    turn.Do(Arm{TimerKind::kPhase, turn.policy.settle_timeout});
    turn.Do(Ask{});
  }
}

}  // namespace holdfast::coordinator
