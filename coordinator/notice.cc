// Signals to the job, and preemption. At the start of GraceTime Slurm sends the job's steps SIGTERM
// and notes PreemptTime; without a grace time it ends the job at once (eviction.cc). Any other
// signal is the job's. Until Slurm has said which it is, and while the job is being saved, signals
// are kept; once it is saved they were never sent.
#include <algorithm>
#include <csignal>

#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

void Deliver(Turn& turn, uint32_t pod, const Signal& signal) {
  v1::ToWarden message;
  message.mutable_deliver()->set_signal(signal.number);
  message.mutable_deliver()->set_scope(signal.scope);
  turn.Tell(pod, std::move(message));
}

// Any signal may be how a preemption begins, with PreemptParameters=send_user_signal even the
// user's own. True: it is part of one that is known.
bool TakeNotice(Turn& turn, const v1::Notice& notice) {
  Job& job = turn.job;
  const Signal signal{.number = notice.signal(), .scope = notice.scope()};
  if (!std::ranges::contains(turn.pod().signals, signal)) turn.pod().signals.push_back(signal);
  if (job.start.preemption_seen) return true;
  if (job.notice.begun_ns == 0) job.notice.begun_ns = turn.now();
  turn.Do(Ask{});
  return false;
}

bool AnyTerminates(const Job& job) {
  return std::ranges::any_of(job.pods, [](const Pod& pod) {
    return std::ranges::contains(pod.signals, SIGTERM, &Signal::number);
  });
}

}  // namespace

int64_t NoticedAt(const Turn& turn) {
  const int64_t begun_ns = turn.job.notice.begun_ns;
  return begun_ns != 0 ? begun_ns : turn.now();
}

void DeliverPending(Turn& turn) {
  Job& job = turn.job;
  for (uint32_t i = 0; i < job.pods.size(); ++i) {
    for (const Signal& signal : job.pods[i].signals) Deliver(turn, i, signal);
    job.pods[i].signals.clear();
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
    return turn.Follow(Wish{.reason = Reason::kPreemption,
                            .stop = true,
                            .begun_ns = NoticedAt(turn),
                            .deadline_unix_ms = record.leave_by * 1000});
  }
  if (preempted || job.notice.begun_ns == 0) return;
  // slurmctld may note the time shortly after its SIGTERM has gone out.
  if (!AnyTerminates(job) || ++job.notice.lookups >= turn.policy.notice_lookups)
    return DeliverPending(turn);
  turn.Do(Arm{TimerKind::kNotice, turn.policy.notice_pause});
}

}  // namespace holdfast::coordinator
