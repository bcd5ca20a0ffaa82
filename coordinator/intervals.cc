// The state machine's part in planning (planning.h): what it is told, and what becomes of the plan.
#include <algorithm>

#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

// The shortest time that anybody gives before a pod's node is gone, or 0.
std::chrono::seconds NoticeOf(const Job& job) {
  uint32_t least = job.grace_seconds;
  for (const Pod& pod : job.pods)
    if (pod.notice_seconds != 0 && (least == 0 || pod.notice_seconds < least))
      least = pod.notice_seconds;
  return std::chrono::seconds(least);
}

// The longer a job could not be saved, the longer until it is tried again, up to this.
constexpr std::chrono::minutes kLongestPause{5};

Seconds UntilNext(const Turn& turn) {
  const Job& job = turn.job;
  const std::chrono::nanoseconds unsaved(job.unsaved_ns == 0 ? 0 : turn.now() - job.unsaved_ns);
  return std::max(job.plan.interval, std::min<Seconds>(unsaved / 2, kLongestPause));
}

}  // namespace

void OnInterval(Turn& turn, const Timer&) {
  const Job& job = turn.job;
  if (job.can_save() && !job.start.wish)
    return Begin(turn, Wish{.reason = Reason::kInterval, .begun_ns = turn.now()});
  turn.Do(Arm{TimerKind::kInterval, turn.policy.reconnect_grace});
}

void PlanInterval(Turn& turn) {
  Job& job = turn.job;
  CountTime(turn, /*interrupted=*/false);
  job.counted_ns = turn.now();
  const Interval interval = job.options.interval.value_or(Interval{});
  job.plan = MakePlan({.automatic = interval.automatic,
                       .interval = interval.every,
                       .nodes = job.pods.size(),
                       .notice = NoticeOf(job),
                       .costs = job.costs,
                       .interruptions = turn.policy.interruptions,
                       .limits = turn.policy.plan});
  if (job.plan.interval.count() > 0)
    turn.Do(
        Arm{TimerKind::kInterval, std::chrono::ceil<std::chrono::milliseconds>(UntilNext(turn))});
}

void CountTime(Turn& turn, bool interrupted) {
  Job& job = turn.job;
  if (job.counted_ns == 0) return;
  const std::chrono::nanoseconds ran(turn.now() - job.counted_ns);
  turn.Do(Count{
      {.count = interrupted ? 1U : 0U, .node_time = ran * static_cast<int64_t>(job.pods.size())}});
  job.counted_ns = 0;
}

bool IsInterruption(Reason reason) {
  return reason == Reason::kPreemption || reason == Reason::kSpot || reason == Reason::kFailure ||
         reason == Reason::kRequeued;
}

}  // namespace holdfast::coordinator
