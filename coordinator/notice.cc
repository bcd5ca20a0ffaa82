// Signals to the job, and preemption. At the start of GraceTime Slurm sends the job's steps SIGTERM
// and notes PreemptTime; a SIGTERM without PreemptTime is somebody's scancel, and belongs to the
// job.
#include <csignal>

#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

void Deliver(Turn& turn, uint32_t pod, int32_t signal, bool to_batch) {
  v1::ToWarden message;
  message.mutable_deliver()->set_signal(signal);
  message.mutable_deliver()->set_to_batch(to_batch);
  turn.Tell(pod, std::move(message));
}

// True: it is part of a preemption that is known.
bool TakeNotice(Turn& turn, const v1::Notice& notice) {
  Job& job = turn.job;
  if (notice.signal() != SIGTERM) {
    // With PreemptParameters=send_user_signal this, too, may be how preemption begins.
    Deliver(turn, turn.event.pod, notice.signal(), notice.from_batch());
    turn.Do(Ask{});
    return false;
  }
  turn.pod().signal = SIGTERM;
  turn.pod().signal_to_batch = notice.from_batch();
  if (job.start.preemption_seen) return true;
  if (job.notice.begun_ns == 0) job.notice.begun_ns = turn.now();
  turn.Do(Ask{});
  return false;
}

}  // namespace

void DeliverPending(Turn& turn) {
  Job& job = turn.job;
  for (uint32_t i = 0; i < job.pods.size(); ++i) {
    Pod& pod = job.pods[i];
    if (pod.signal != 0) Deliver(turn, i, pod.signal, pod.signal_to_batch);
    pod.signal = 0;
  }
  job.notice.begun_ns = 0;
  job.notice.lookups = 0;
  turn.Do(Disarm{TimerKind::kNotice});
}

void OnNotice(Turn& turn, const v1::Notice& notice) { TakeNotice(turn, notice); }

void OnNoticeRunning(Turn& turn, const v1::Notice& notice) {
  // Of a preemption from which the job could not be saved.
  if (TakeNotice(turn, notice) && !turn.job.start.wish) DeliverPending(turn);
}

void OnNoticeTimer(Turn& turn, const Timer&) { turn.Do(Ask{}); }

void ConsiderRecord(Turn& turn, const Record& record) {
  Job& job = turn.job;
  const bool preempted = record.being_preempted();
  if (preempted && !job.start.preemption_seen) {
    job.start.preemption_seen = true;
    const int64_t end = record.grace_seconds == 0 ? 0 : record.preempt_time + record.grace_seconds;
    return turn.Follow(Wish{.reason = Reason::kPreemption,
                            .stop = true,
                            .begun_ns = job.notice.begun_ns != 0 ? job.notice.begun_ns : turn.now(),
                            .deadline_unix_ms = end * 1000});
  }
  if (preempted || job.notice.begun_ns == 0) return;
  // slurmctld may note the time shortly after the signal has gone out.
  if (++job.notice.lookups >= turn.policy.notice_lookups) return DeliverPending(turn);
  turn.Do(Arm{TimerKind::kNotice, turn.policy.notice_pause});
}

}  // namespace holdfast::coordinator
