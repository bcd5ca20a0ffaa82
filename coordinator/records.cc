// What Slurm says of the job, by the job's stage.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
// On a node that was lost and answers again something of the job may live on for some seconds. A
// job that Slurm starts beside that it holds, and drains the node ("Duplicate jobid"). So where
// such a job can go nowhere else, it waits as long as Slurm has every requeued job wait.
constexpr std::chrono::seconds kAfterNodeFailure{120};

// Slurm was asked before this start of the job, or its departure, began.
bool IsStale(const Turn& turn, const Record& record) { return record.asked_ns < turn.job.since_ns; }

bool IsOver(const Job& job, const Record& record) {
  if (record.state == Record::State::kGone) return true;
  return record.state == Record::State::kTerminal && (!record.completing || !job.any_may_live());
}

void End(Turn& turn, const std::string& how) {
  CountTime(turn, /*interrupted=*/false);
  GiveUpCheckpoint(turn, "the job ended meanwhile: " + how);
  DisarmRunTimers(turn);
  turn.Do(Disarm{TimerKind::kAsk});
  turn.Enter(Stage::kEnded);
  turn.Mark("ended", 0, how);
  KeepForATime(turn);
}

// It is held in the queue, and says why and how it goes on.
void StayHeld(Turn& turn, const Record& record, const char* how) {
  Job& job = turn.job;
  job.departure.holding = !record.held;
  turn.Enter(Stage::kHeld);
  turn.Do(Comment{fmt::format("{}; next: holdfast resume {}{}",
                              job.last_error.empty()
                                  ? fmt::format("saved as checkpoint {} and held", job.newest())
                                  : job.last_error,
                              job.id, how)});
  job.commented = true;
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
  AskForNodes(turn);
  const bool never_saved = job.started && !job.saved_once && !job.perhaps_saved && !job.start.ended;
  const Prospect prospect = ProspectOf(job);
  if (never_saved && prospect == Prospect::kEnd) {
    // Slurm's own record does not forbid to start it over.
    turn.Mark("not-started-over", 0, job.last_error);
    turn.Do(Cancel{});
    return turn.Enter(Stage::kWaiting);
  }
  if (never_saved && prospect == Prospect::kHold) {
    job.departure.hold = true;
    job.last_error =
        fmt::format("it was requeued before it could be saved{}",
                    job.last_error.empty() ? "" : fmt::format(" ({})", job.last_error));
  }
  if (job.departure.hold) {
    amend.hold = !record.held;
    StayHeld(turn, record, never_saved ? " --from-start" : "");
  } else {
    amend.eligible = true;
    job.departure.release |= record.requeued_too_often;
    amend.release = job.departure.release &= record.held;
    turn.Enter(Stage::kWaiting);
  }
  turn.Do(std::move(amend));
}

// A start on a node in the second in which the one before has ended there is refused by slurmd,
// which takes its credential for the old one ("Job credential revoked"), and the job has FAILED.
// Slurm itself waits for two minutes.
bool IsTooSoon(const Turn& turn) {
  const Job& job = turn.job;
  const auto is_excluded = [&](const std::string& node) {
    return std::ranges::contains(job.exclusions.next, node);
  };
  return turn.now() / kSecond == job.vacated_s && !std::ranges::all_of(job.nodes(), is_excluded);
}

// Slurm takes it for failed, and its script has not ended.
bool FailedByMistake(const Job& job, const Record& record) {
  return record.failed() && record.restart_count == job.start.restart_count && !job.start.ended &&
         ProspectOf(job) != Prospect::kEnd;
}

// Slurm could not launch it, and takes that for its end: no warden has come.
bool RetryLaunch(Turn& turn, const Record& record) {
  Job& job = turn.job;
  if (!record.failed() || record.restart_count <= job.start.restart_count ||
      ProspectOf(job) == Prospect::kEnd)
    return false;
  if (record.completing) return turn.Do(Arm{TimerKind::kAsk, turn.policy.ask_pause}), true;
  job.awaited_start = record.restart_count;
  OnNoWarden(turn, Timer{TimerKind::kPhase});
  return true;
}

// Slurm would start its script over once more after it has ended well, so its next start is given
// up for that, unless that has been tried in vain.
void NoteMark(Job& job, const Record& record) {
  if (record.state != Record::State::kPending) return;
  job.mark_stays = record.marked && (job.mark_stays || job.start.unmarking);
  job.departure.marked = record.marked && !job.mark_stays;
}

// One look at how far the requeue has got.
void Follow(Turn& turn, const Record& record) {
  Job& job = turn.job;
  NoteMark(job, record);
  if (RetryLaunch(turn, record)) return;
  // slurmctld was killed before it had kept that it requeued the job, or before it was asked to,
  // and has taken the end of the released step for the job's.
  const bool forgotten = FailedByMistake(job, record);
  if (GoesOn(turn, record) || (forgotten && !record.completing)) {
    // It may have been a later start than that whose wardens came.
    turn.Do(Requeue{.hold = job.departure.hold, .restart_count = record.restart_count});
    return turn.Do(Arm{TimerKind::kAsk, turn.policy.ask_pause});
  }
  if (IsOver(job, record) && !forgotten) return End(turn, record.state_name);
  // On a node that is DOWN Slurm does not wait for what is left of the job. It could not start it
  // there beside that, and may yet end it there, which would end the new start as well.
  const int64_t step_end = std::chrono::nanoseconds(turn.policy.step_end).count();
  const bool lives_on =
      job.start.eviction && job.start.eviction->dead_node && turn.now() - job.since_ns < step_end;
  if (record.state == Record::State::kPending && !record.completing) {
    if (job.vacated_s == 0) job.vacated_s = turn.now() / kSecond;
    if (!lives_on && !IsTooSoon(turn)) return Arrive(turn, record);
  }
  if (record.state == Record::State::kRunning && record.restart_count > job.start.restart_count) {
    // Started again already. Its wardens decide what becomes of it.
    turn.Do(Disarm{TimerKind::kAsk});
    return turn.Enter(Stage::kWaiting);
  }
  // A signal to its script may have been lost.
  const bool unheard = job.start.unmarking && turn.now() - job.since_ns > step_end;
  if (record.state == Record::State::kRunning && (job.requeue_failed || unheard)) {
    job.requeue_failed = false;
    AskForRequeue(turn);
  }
  turn.Do(Arm{TimerKind::kAsk, turn.policy.ask_pause});
}

// False: it is not pending, or not any more, and that has been dealt with.
bool IsQueued(Turn& turn, const Record& record) {
  Job& job = turn.job;
  if (IsStale(turn, record)) return false;
  job.queued_for = record.queued_for;
  NoteMark(job, record);
  if (GoesOn(turn, record)) {
    // It was preempted before its wardens could come.
    turn.Do(Requeue{.hold = false, .restart_count = record.restart_count});
    return false;
  }
  if (RetryLaunch(turn, record)) return false;
  if (FailedByMistake(job, record)) {
    // slurmctld was killed before it had kept the requeue.
    Depart(turn, Reason::kRequeued);
    Follow(turn, record);
    return false;
  }
  if (IsOver(job, record)) return End(turn, record.state_name), false;
  if (record.state == Record::State::kRunning && record.restart_count > job.awaited_start) {
    job.awaited_start = record.restart_count;
    turn.Do(Arm{TimerKind::kPhase, turn.policy.gather_timeout});
  }
  return record.state == Record::State::kPending;
}

// It is to start soon.
void SeeToQueue(Turn& turn, const Record& record) {
  Job& job = turn.job;
  // Slurm may not have answered when it was told to. After launches that failed it holds a job.
  job.departure.release &= record.held;
  job.departure.release |= record.requeued_too_often;
  if (job.departure.release) turn.Do(Amend{.release = true});
  if (job.exclusions.setting)
    if (auto excluded = ChangeExclusions(job, record.excluded))
      turn.Do(Amend{.excluded = std::move(excluded)});
  if (record.unsatisfiable && job.request.nodes != 0 && job.request.nodes != job.pod_count) {
    job.last_error = fmt::format(
        "{} nodes that have all that it needs are nowhere to be had, so it may go on {} again",
        job.request.nodes, job.pod_count);
    turn.Mark("spread-dropped", 0, job.last_error);
    turn.Do(Comment{job.last_error});
    job.commented = true;
    job.request.nodes = job.pod_count;
    AskForNodes(turn);
    turn.Do(Amend{.eligible = true, .release = true});
    return;
  }
  if (record.unsatisfiable && !job.exclusions.next.empty() &&
      job.exclusions.set != job.exclusions.user) {
    // Better on one of the nodes it was to avoid than nowhere.
    job.last_error = fmt::format(
        "what it asks for (--nodelist, --constraint) can be had nowhere without {}, so "
        "it may go there again",
        fmt::join(job.exclusions.next, ","));
    turn.Mark("exclusion-dropped", 0, job.last_error);
    turn.Do(Comment{job.last_error});
    job.commented = true;
    job.exclusions.next.clear();
    Amend amend{.excluded = ChangeExclusions(job, record.excluded), .release = true};
    if (job.start.eviction && job.start.eviction->dead_node) {
      job.departure.hurry = false;
      amend.not_before = job.since_ns / kSecond + kAfterNodeFailure.count();
    } else {
      amend.eligible = true;
    }
    turn.Do(std::move(amend));
    return;
  }
  if (record.unsatisfiable && !job.exclusions.unfit.empty()) {
    job.departure.hold = true;
    job.last_error = fmt::format("no node that it may go to has what it needs: {}", job.last_error);
    turn.Mark("held", 0, job.last_error);
    return StayHeld(turn, record, "");
  }
  if (!job.departure.hurry) return;
  job.departure.hurry = record.begin_time > turn.now() / kSecond;
  if (job.departure.hurry) turn.Do(Amend{.eligible = true});
}

}  // namespace

void OnRecordActive(Turn& turn, const Record& record) {
  Job& job = turn.job;
  if (IsStale(turn, record)) return;
  if (IsEvicted(turn, record)) return Evict(turn, record);
  // Requeued by somebody else: an administrator, or Slurm when a node failed.
  if (record.state == Record::State::kPending || GoesOn(turn, record)) return Abandon(turn, record);
  if (IsOver(job, record)) {
    if (!record.lost_its_pods() || !FailedByMistake(job, record))
      return End(turn, record.state_name);
    if (record.completing) return turn.Do(Ask{});
    // Its wardens were killed, and whoever would have seen to that was not there either.
    job.start.suspicion = Suspicion{.why = "its processes were lost", .nodes = job.lost_nodes()};
    return Break(turn);
  }
  if (record.state == Record::State::kTerminal) {
    if (!EndIfBelieved(turn, record)) DeliverPending(turn);
    return;
  }
  if (record.restart_count != job.start.restart_count) return;
  if (record.suspended) return StandStill(turn);
  if (job.suspended) MoveAgain(turn);
  if (job.start.suspicion) return Break(turn);
  if (EndIfBelieved(turn, record)) return;
  job.grace_seconds = record.notice_seconds();
  job.array = record.array;
  job.listed = record.listed;
  if (!job.requeue) job.requeue = record.requeue;
  if (!record.requeue) turn.Do(Amend{.requeue = true});
  NoteTimeLimit(turn, record);
  ConsiderRecord(turn, record);
}

void Abandon(Turn& turn, const Record& record) {
  for (uint32_t pod = 0; pod < turn.job.pods.size(); ++pod) TellTheEnd(turn, pod);
  if (record.state == Record::State::kPending && !record.completing) {
    turn.job.start.eviction = Eviction{.requeued = true, .dead_node = true};
    AddNodes(turn.job.exclusions.next, turn.job.lost_nodes());
  }
  Depart(turn, IsBeingRenewed(turn.job) ? Reason::kTimeLimit : Reason::kRequeued);
  Follow(turn, record);
}

void OnRecordLeaving(Turn& turn, const Record& record) {
  if (!IsStale(turn, record)) Follow(turn, record);
}

void OnRecordWaiting(Turn& turn, const Record& record) {
  if (IsQueued(turn, record)) SeeToQueue(turn, record);
}

void OnRecordHeld(Turn& turn, const Record& record) {
  if (!IsQueued(turn, record)) return;
  if (turn.job.departure.holding) {
    // Slurm may not have answered when it was told to.
    turn.job.departure.holding = !record.held;
    if (!record.held) turn.Do(Amend{.hold = true});
    return;
  }
  if (record.held) return;
  // Released without asking us.
  turn.job.stage = Stage::kWaiting;
  turn.job.departure.hold = false;
  SeeToQueue(turn, record);
}

void OnRecordEnding(Turn& turn, const Record& record) {
  if (IsStale(turn, record)) return;
  NoteForbidden(turn, record);
  Start& start = turn.job.start;
  // PREEMPTED may be left of the grace time of an earlier start (docs/operations/ways.md). A script
  // that then ends by itself would be brought back to end again, for ever.
  const bool taken = start.eviction || start.preemption_seen || record.being_preempted();
  if (record.state == Record::State::kPending || (taken && GoesOn(turn, record))) {
    Depart(turn, Reason::kRequeued);
    return Follow(turn, record);
  }
  if (!IsOver(turn.job, record)) return;
  start.ended |= !start.eviction && !start.refused;  // by whatever signal
  End(turn, record.state_name);
}

}  // namespace holdfast::coordinator
