// The time limit as a preemption (--checkpoint-timelimit): Slurm gives a job that is requeued its
// whole limit again, so one that is saved shortly before goes on.
//
// How shortly, the job's checkpoints tell. One that has none yet is saved when half of its time has
// passed, and runs on: then it is known what that takes. If that fails, it is tried again when half
// of what is left has passed, and so on. It is never saved before half of its time has passed: what
// saving and restoring take must not be all that it does.
//
// If it cannot be saved in time, Slurm does at the limit what it does to any job.
#include <algorithm>
#include <chrono>

#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

// Of the time left. The rest is for estimates that are too low.
constexpr double kShareOfTime = 0.5;
// For what follows the commit until Slurm has taken the requeue.
constexpr seconds kReserve{5};
// Slurm signals a job so much earlier than its --signal says, at most (PERIODIC_TIMEOUT in
// src/slurmctld/slurmctld.h), and one second is for the rounding of times.
constexpr seconds kWarnedEarlier{31};

nanoseconds EndOf(const TimeLimit& limit) { return seconds(limit.end_time); }
nanoseconds BeginOf(const TimeLimit& limit) {
  return std::max<nanoseconds>(seconds(limit.start_time), nanoseconds(limit.ran_from_ns));
}

bool IsMeasured(const Job& job) { return !job.costs.empty(); }
// It is not known what saving it takes, and there is time to find out.
bool MayMeasure(const Turn& turn) {
  return !IsMeasured(turn.job) &&
         EndOf(turn.job.limit).count() - turn.now() > 4 * nanoseconds(kReserve).count();
}

// When it is to be saved, as unix time.
nanoseconds DueAt(const Turn& turn) {
  const Job& job = turn.job;
  const nanoseconds now(turn.now()), begin = BeginOf(job.limit), end = EndOf(job.limit);
  if (MayMeasure(turn)) return now + (end - now) / 2;
  const nanoseconds half = begin + (end - begin) / 2;
  const Seconds ran = job.unsaved_ns == 0 ? kForever : Seconds(end - nanoseconds(job.unsaved_ns));
  const Seconds to_safe = EstimateTimeToSafe(job.costs).After(ran) / kShareOfTime;
  nanoseconds due =
      end - kReserve - std::chrono::ceil<nanoseconds>(std::min(to_safe, Seconds(end - begin)));
  if (job.limit.warning_seconds != 0)
    due = std::min(due, end - seconds(job.limit.warning_seconds) - kWarnedEarlier);
  return std::max(due, half);
}

}  // namespace

void PlanTimeLimit(Turn& turn) {
  Job& job = turn.job;
  TimeLimit& limit = job.limit;
  limit.save_ns = 0;
  turn.Do(Disarm{TimerKind::kLimit});
  if (limit.end_time == 0 || limit.tried || !job.may_be_renewed()) return;
  const nanoseconds due = DueAt(turn);
  limit.save_ns = due.count();
  const nanoseconds left = std::max(due - nanoseconds(turn.now()), nanoseconds(0));
  turn.Do(Arm{TimerKind::kLimit, std::chrono::ceil<milliseconds>(left)});
}

void NoteTimeLimit(Turn& turn, const Record& record) {
  TimeLimit& limit = turn.job.limit;
  if (record.end_time == limit.end_time) return;
  limit.start_time = record.start_time;
  limit.end_time = record.end_time;
  limit.tried = false;
  const Stage stage = turn.job.stage;
  if (stage >= Stage::kRunning && IsActive(stage)) PlanTimeLimit(turn);  // else once it runs
}

void OnTimeLimit(Turn& turn, const Timer&) {
  Job& job = turn.job;
  if (MayMeasure(turn)) {
    // One that is under way measures as well.
    const bool can = job.stage == Stage::kRunning && job.can_save() && !job.start.wish;
    if (!can) return PlanTimeLimit(turn);
    return Begin(turn, Wish{.reason = Reason::kTimeLimit, .begun_ns = turn.now()});
  }
  job.limit.tried = true;
  job.limit.save_ns = 0;
  const int64_t end_ns = EndOf(job.limit).count();
  turn.Follow(Wish{.reason = Reason::kTimeLimit,
                   .stop = true,
                   .begun_ns = turn.now(),
                   // Slurm looks every half minute whose time is over, so there may be some left.
                   .deadline_unix_ms = end_ns > turn.now() ? end_ns / 1'000'000 : 0});
}

bool IsBeingRenewed(const Job& job) {
  const auto renews = [](const auto& what) {
    return what && what->reason == Reason::kTimeLimit && what->stop;
  };
  return renews(job.checkpoint) || renews(job.start.wish);
}

}  // namespace holdfast::coordinator
