// Checkpoints, in two phases. Two rules carry the safety of it: Release is sent only after
// Committed, and Abort never once Commit has been, unless pod 0 itself says that it did not commit.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

v1::ToWarden MakeSettle(const Checkpoint& checkpoint) {
  v1::ToWarden message;
  message.mutable_settle()->set_checkpoint(checkpoint.number);
  message.mutable_settle()->set_how(checkpoint.how);
  return message;
}

bool IsNotice(Reason reason) { return reason == Reason::kPreemption || reason == Reason::kSpot; }

// The job must leave, whatever it is doing.
bool IsUrgent(Reason reason) { return IsNotice(reason) || reason == Reason::kEvacuate; }

const char* CauseEvent(Reason reason) {
  if (IsNotice(reason)) return "notice";
  return reason == Reason::kInterval ? "due" : "requested";
}

void SendCommit(Turn& turn) {
  Job& job = turn.job;
  v1::ToWarden message;
  v1::Commit& commit = *message.mutable_commit();
  commit.set_checkpoint(job.checkpoint->number);
  commit.set_keep(job.options.keep.value_or(1));
  for (const Pod& pod : job.pods) *commit.add_parts() = *pod.part;
  for (const std::string& hostname : job.hostnames) commit.add_hostnames(hostname);
  job.commit_sent = job.pods[0].connected;
  turn.Tell(0, std::move(message));
}

bool AllSaved(const Job& job) {
  return job.all_in(v1::PHASE_PREPARED) &&
         std::ranges::all_of(job.pods, [](const Pod& pod) { return pod.part.has_value(); });
}

void CommitIfSaved(Turn& turn) {
  Job& job = turn.job;
  if (!AllSaved(job)) return;
  Checkpoint& checkpoint = *job.checkpoint;
  checkpoint.prepared_ns = turn.now();
  for (const Pod& pod : job.pods) {
    checkpoint.raw_bytes += pod.part->raw_bytes();
    checkpoint.stored_bytes += pod.part->stored_bytes();
    checkpoint.processes += pod.part->processes();
    checkpoint.frozen_ns = std::max(checkpoint.frozen_ns, pod.part->frozen_ns());
  }
  turn.Mark("prepared", turn.now() - checkpoint.begun_ns);
  turn.Enter(Stage::kCommitting, turn.policy.phase_timeout);
  SendCommit(turn);
}

void Commit(Turn& turn) {
  Job& job = turn.job;
  Checkpoint& checkpoint = *job.checkpoint;
  checkpoint.committed_ns = turn.now();
  checkpoint.how = checkpoint.stop ? v1::Settle::RELEASE : v1::Settle::RESUME;
  job.pods[0].phase = v1::PHASE_COMMITTED;
  job.attempts = 0;
  job.last_error.clear();
  turn.Mark("committed", turn.now() - checkpoint.begun_ns);
  turn.Do(SaveCheckpoint{checkpoint});
  turn.Enter(Stage::kSettling, turn.policy.settle_timeout);
  turn.TellAll(MakeSettle(checkpoint));
}

// The checkpoint failed and the job runs on. If it must leave, that is tried once more; then the
// job gets the signal that it would have got without Holdfast, and the checkpoint before this one
// stands.
void Regret(Turn& turn, const Checkpoint& failed) {
  Job& job = turn.job;
  if (failed.stop && IsUrgent(failed.reason)) {
    if (failed.second_try) return DeliverPending(turn);
    job.start.wish = Wish{.reason = failed.reason,
                          .stop = true,
                          .second_try = true,
                          .excluded = failed.excluded,
                          .begun_ns = turn.now(),
                          .deadline_unix_ms = failed.deadline_unix_ms};
    turn.Do(Arm{TimerKind::kRetry, turn.policy.retry_pause});
  }
}

void FinishIfSettled(Turn& turn) {
  Job& job = turn.job;
  const v1::Settle::How how = job.checkpoint->how;
  const bool settled =
      how == v1::Settle::RELEASE
          ? std::ranges::all_of(
                job.pods,
                [](const Pod& pod) { return pod.phase == v1::PHASE_RELEASED || !pod.connected; })
          : job.can_save();
  if (!settled) return;
  Checkpoint done = *job.checkpoint;
  done.settled_ns = turn.now();
  turn.Do(SaveCheckpoint{done});
  const bool failed = how == v1::Settle::ABORT;
  if (!failed) {
    job.Learn(done);
    job.unsaved_ns = turn.now();
  }
  turn.Mark(how == v1::Settle::RELEASE ? "released"
            : failed                   ? "aborted"
                                       : "resumed",
            turn.now() - done.begun_ns, done.error);
  job.checkpoint.reset();
  if (how == v1::Settle::RELEASE) {
    job.exclusions.next = done.excluded;
    job.departure.hold = done.hold;
    return Leave(turn, done.reason);
  }
  if (failed || job.commented) turn.Do(Comment{failed ? done.error : ""});
  job.commented = failed;
  EnterRunning(turn);
  // A wish of before has begun a checkpoint already.
  if (failed && job.stage == Stage::kRunning) Regret(turn, done);
}

// Pod 0 has come back while a commit was under way, or another pod has and pod 0 is waiting.
void ResolveCommit(Turn& turn, uint32_t committed) {
  Job& job = turn.job;
  const uint32_t number = job.checkpoint->number;
  if (committed >= number) {
    if (!std::ranges::contains(job.saved, number)) job.saved.push_back(number);
    return Commit(turn);
  }
  if (!job.pods[0].connected || job.commit_sent) return;
  for (uint32_t i = 0; i < job.pods.size(); ++i)
    if (job.pods[i].connected && job.pods[i].phase != v1::PHASE_PREPARED)
      return Abort(turn, turn.Name(i) + ": resumed before the commit");
  if (AllSaved(job) && job.all_connected()) SendCommit(turn);
}

}  // namespace

void Begin(Turn& turn, const Wish& wish) {
  Job& job = turn.job;
  const Checkpoint& checkpoint = job.checkpoint.emplace(
      Checkpoint{.number = job.next_checkpoint++,
                 .reason = wish.reason,
                 .stop = wish.stop,
                 .hold = wish.hold,
                 .second_try = wish.second_try,
                 .excluded = wish.excluded,
                 .deadline_unix_ms = wish.deadline_unix_ms,
                 .ran_ns = job.unsaved_ns == 0 ? 0 : turn.now() - job.unsaved_ns,
                 .begun_ns = wish.begun_ns});
  turn.Do(Disarm{TimerKind::kInterval});
  turn.Do(Disarm{TimerKind::kRetry});
  turn.Do(SaveCheckpoint{checkpoint});
  turn.Do(TimelineEvent{.name = CauseEvent(wish.reason),
                        .unix_ns = wish.begun_ns,
                        .detail = ReasonName(wish.reason),
                        .checkpoint = checkpoint.number});
  // A notice without a deadline leaves no time that is known of.
  const bool can_wait = !IsNotice(checkpoint.reason) || checkpoint.deadline_unix_ms != 0;
  if (turn.policy.precopy && can_wait && !checkpoint.second_try) return CopyAhead(turn);
  Freeze(turn);
}

void Freeze(Turn& turn) {
  Job& job = turn.job;
  if (!job.can_save()) return Abort(turn, "not all of its pods are there and run");
  Checkpoint& checkpoint = *job.checkpoint;
  if (job.stage == Stage::kPrecopying) checkpoint.precopied_ns = turn.now();
  v1::ToWarden message;
  v1::Prepare& prepare = *message.mutable_prepare();
  prepare.set_checkpoint(checkpoint.number);
  prepare.set_deadline_unix_ms(checkpoint.deadline_unix_ms);
  for (Pod& pod : job.pods) {
    pod.phase = v1::PHASE_PREPARING;
    pod.part.reset();
  }
  turn.Enter(Stage::kFreezing, turn.policy.phase_timeout);
  turn.TellAll(message);
}

void GrantWish(Turn& turn) {
  Job& job = turn.job;
  if (!job.start.wish || job.stage != Stage::kRunning || !job.can_save()) return;
  const Wish wish = *job.start.wish;
  job.start.wish.reset();
  Begin(turn, wish);
}

void Abort(Turn& turn, const std::string& why) {
  Job& job = turn.job;
  Checkpoint& checkpoint = *job.checkpoint;
  checkpoint.how = v1::Settle::ABORT;
  checkpoint.error = fmt::format("checkpoint {}: {}", checkpoint.number, why);
  job.last_error = checkpoint.error;
  turn.Do(SaveCheckpoint{checkpoint});
  turn.Enter(Stage::kSettling, turn.policy.settle_timeout);
  turn.TellAll(MakeSettle(checkpoint));
}

void OnWish(Turn& turn, const Wish& wish) {
  Job& job = turn.job;
  const bool urgent = IsUrgent(wish.reason);
  // Signals that Slurm sends to a node on its way out are part of it.
  if (wish.reason == Reason::kSpot) job.start.preemption_seen = true;
  switch (job.stage) {
    case Stage::kGathering:
    case Stage::kPreparing:
      // Nothing of this start has run, so nothing is lost.
      if (urgent) {
        AddNodes(job.exclusions.next, wish.excluded);
        return Leave(turn, wish.reason);
      }
      turn.refusal = "it has not started yet";
      return;
    case Stage::kRunning:
      if (job.can_save()) return Begin(turn, wish);
      [[fallthrough]];
    case Stage::kStarting:
      if (urgent)
        job.start.wish = wish;
      else
        turn.refusal = "not all of its wardens are connected and ready";
      return;
    case Stage::kPrecopying:
    case Stage::kFreezing:
    case Stage::kCommitting:
      if (!urgent) break;
      if (!job.checkpoint->stop) {
        job.checkpoint->stop = true;
        job.checkpoint->deadline_unix_ms = wish.deadline_unix_ms;
        job.checkpoint->reason = wish.reason;
        turn.Mark("notice", 0, ReasonName(wish.reason));
      }
      AddNodes(job.checkpoint->excluded, wish.excluded);
      if (job.stage == Stage::kPrecopying) Freeze(turn);
      return;
    default:
      if (!urgent) break;
      if (job.checkpoint->how != v1::Settle::RELEASE) job.start.wish = wish;
      return;
  }
  turn.refusal = fmt::format("checkpoint {} ({}) is in progress", job.checkpoint->number,
                             ReasonName(job.checkpoint->reason));
}

void OnRetry(Turn& turn, const Timer&) { GrantWish(turn); }

void OnPrepared(Turn& turn, const v1::Prepared& prepared) {
  if (prepared.checkpoint() != turn.job.checkpoint->number) return;
  turn.pod().phase = v1::PHASE_PREPARED;
  turn.pod().part = prepared.part();
  CommitIfSaved(turn);
}

void OnCommitted(Turn& turn, const v1::Committed& committed) {
  Job& job = turn.job;
  if (turn.event.pod != 0 || committed.checkpoint() != job.checkpoint->number) return;
  job.saved.clear();
  for (const v1::Saved& saved : committed.saved())
    if (saved.number() >= job.first_checkpoint) job.saved.push_back(saved.number());
  if (!std::ranges::contains(job.saved, committed.checkpoint()))
    job.saved.push_back(committed.checkpoint());
  Commit(turn);
}

void OnSettled(Turn& turn, const v1::Settled& settled) {
  Job& job = turn.job;
  if (job.stage == Stage::kRunning) {
    turn.pod().phase = v1::PHASE_RUNNING;
    return GrantWish(turn);
  }
  if (job.stage != Stage::kSettling || settled.checkpoint() != job.checkpoint->number) return;
  turn.pod().phase = settled.how() == v1::Settle::RELEASE ? v1::PHASE_RELEASED : v1::PHASE_RUNNING;
  turn.pod().part.reset();
  FinishIfSettled(turn);
}

void OnSaveFailed(Turn& turn, const v1::Failed& failed) {
  Job& job = turn.job;
  if (failed.checkpoint() != job.checkpoint->number) return;
  const std::string why = fmt::format("{}: {}{}", turn.Name(turn.event.pod), failed.message(),
                                      failed.log().empty() ? "" : "; log: " + failed.log());
  const bool may_abort =
      job.stage == Stage::kFreezing || (job.stage == Stage::kCommitting && turn.event.pod == 0);
  if (may_abort) return Abort(turn, why);
  turn.Mark("failed", 0, why);
}

void OnSaveTimeout(Turn& turn, const Timer&) {
  Job& job = turn.job;
  if (job.stage == Stage::kSettling && job.checkpoint->how == v1::Settle::RELEASE) {
    // What is left of the pods goes with the requeue.
    for (Pod& pod : job.pods) pod.phase = v1::PHASE_RELEASED;
    return FinishIfSettled(turn);
  }
  std::vector<std::string> late;
  for (uint32_t i = 0; i < job.pods.size(); ++i) {
    const bool waited_for = job.stage == Stage::kCommitting ? i == 0
                            : job.stage == Stage::kFreezing
                                ? job.pods[i].phase != v1::PHASE_PREPARED
                                : job.pods[i].phase != v1::PHASE_RUNNING;
    if (waited_for) late.push_back(turn.Name(i));
  }
  const std::string why =
      fmt::format("{}: no answer in time: {}", StageName(job.stage), fmt::join(late, ", "));
  if (job.stage == Stage::kFreezing) return Abort(turn, why);
  Suspect(turn, why);
}

void OnLostFreezing(Turn& turn, const Lost& lost) {
  OnLost(turn, lost);
  // After a restart of the coordinator all are away; only one that was there can be lost.
  Abort(turn, turn.Name(turn.event.pod) + ": its warden's connection was lost");
}

void OnLostSettling(Turn& turn, const Lost& lost) {
  OnLost(turn, lost);
  FinishIfSettled(turn);
}

void Reconcile(Turn& turn, const v1::Hello& hello) {
  Job& job = turn.job;
  const v1::Phase phase = hello.phase();
  switch (job.stage) {
    case Stage::kRunning:
      if (phase == v1::PHASE_RELEASED) return Suspect(turn, turn.Name(hello.pod()) + ": released");
      if (phase == v1::PHASE_PREPARING || phase == v1::PHASE_PREPARED ||
          phase == v1::PHASE_COMMITTED) {
        // Of a checkpoint that nobody here remembers. Resuming loses nothing, committed or not; and
        // while this pod was still being saved, there was no commit.
        turn.Tell(hello.pod(),
                  MakeSettle(Checkpoint{.number = hello.checkpoint(),
                                        .how = phase == v1::PHASE_PREPARING ? v1::Settle::ABORT
                                                                            : v1::Settle::RESUME}));
      }
      if (job.all_connected()) EnterRunning(turn);
      return;
    case Stage::kPrecopying:
      return ResumePrecopy(turn, hello);
    case Stage::kFreezing:
      if (phase == v1::PHASE_RUNNING)
        return Abort(turn, turn.Name(hello.pod()) + ": came back without having saved");
      return CommitIfSaved(turn);
    case Stage::kCommitting:
      return ResolveCommit(turn, hello.pod() == 0 ? hello.committed() : 0);
    case Stage::kSettling: {
      const bool released = job.checkpoint->how == v1::Settle::RELEASE;
      if (phase != (released ? v1::PHASE_RELEASED : v1::PHASE_RUNNING))
        turn.Tell(hello.pod(), MakeSettle(*job.checkpoint));
      return FinishIfSettled(turn);
    }
    case Stage::kEnding:
    case Stage::kEnded:
      return TellTheEnd(turn, hello.pod());
    default:
      return;  // being requeued: Slurm ends what is left
  }
}

}  // namespace holdfast::coordinator
