// Slurm takes a running job off its nodes without a grace time: its processes have had SIGTERM, and
// KillWait later they get SIGKILL. Until then the job can be saved. Slurm's record tells how it is
// meant: pending again (preemption by REQUEUE, scontrol requeue, the loss of a node), or ended as
// PREEMPTED (PreemptMode=CANCEL) or TIMEOUT, from where the job's requeue is ours to ask for. A
// cancelled job looks otherwise and just ends, and so does one whose time is over, unless it was
// just being saved for that (time_limit.cc).
#include <algorithm>

#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

// For what follows the commit until nothing is left that a SIGKILL could hurt.
constexpr std::chrono::milliseconds kReserve{500};

// Unix milliseconds; 0: not known. On a node that was set DOWN nobody is told to kill anything
// until it answers again.
int64_t DeadlineOf(const Turn& turn, const Record& record) {
  if (!record.completing) return 0;
  return NoticedAt(turn) / 1'000'000 + int64_t{record.kill_wait_seconds} * 1000 - kReserve.count();
}

constexpr const char* kTimeout = "TIMEOUT";

// Slurm has ended it as PREEMPTED, and the site wants such jobs to go on.
bool WasPreempted(const Turn& turn, const Record& record) {
  return record.state_name == "PREEMPTED" && turn.policy.continue_cancelled;
}

// By its time limit, for which it is just being saved.
bool WasTooLate(const Turn& turn, const Record& record) {
  return record.state_name == kTimeout && IsBeingRenewed(turn.job);
}

Reason ReasonOf(const Record& record) {
  if (record.state == Record::State::kPending) return Reason::kRequeued;
  return record.state_name == kTimeout ? Reason::kTimeLimit : Reason::kPreemption;
}

}  // namespace

bool GoesOn(const Turn& turn, const Record& record) {
  const Job& job = turn.job;
  const bool may_be_saved = job.saved_once || job.perhaps_saved || job.stage == Stage::kCommitting;
  // It had left its nodes, or may have: what Slurm was still to hear of came too late.
  const bool left =
      job.stage == Stage::kLeaving ||
      (IsBeingRenewed(job) &&
       (job.stage == Stage::kCommitting || (job.checkpoint && job.checkpoint->committed_ns != 0)));
  const bool is_to = WasPreempted(turn, record) || (record.state_name == kTimeout && left);
  return is_to && may_be_saved && !job.start.ended;
}

bool IsEvicted(const Turn& turn, const Record& record) {
  if (record.completing)
    return turn.job.any_may_live() && (record.state == Record::State::kPending ||
                                       WasPreempted(turn, record) || WasTooLate(turn, record));
  return record.state == Record::State::kPending && turn.job.any_connected();
}

void Evict(Turn& turn, const Record& record) {
  Job& job = turn.job;
  turn.Do(Arm{TimerKind::kAsk, turn.policy.ask_pause});
  if (job.start.doubted_end && !job.start.eviction) {
    // It has ended because of that, whatever it says.
    job.start.eviction = Eviction{.requeued = record.state == Record::State::kPending,
                                  .dead_node = !record.completing};
    job.end_asked_ns = std::min(turn.now(), record.asked_ns);
    EndIfBelieved(turn, record);
    return;
  }
  const bool under_way = job.checkpoint || job.start.wish;
  if (job.start.eviction) {
    // Slurm may start it elsewhere at any time, and has not ended it here.
    if (!under_way && !record.completing) Abandon(turn, record);
    return;
  }
  const bool tried = job.start.preemption_seen;
  job.start.eviction = Eviction{.requeued = record.state == Record::State::kPending,
                                .dead_node = !record.completing};
  job.start.preemption_seen = true;
  // What was tried in vain in the grace time is not tried again; what is under way goes on.
  if (tried && !under_way) return DeliverPending(turn);
  turn.Follow(Wish{.reason = ReasonOf(record),
                   .stop = true,
                   .begun_ns = NoticedAt(turn),
                   .deadline_unix_ms = DeadlineOf(turn, record)});
}

}  // namespace holdfast::coordinator
