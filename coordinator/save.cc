// Checkpoints, in two phases. Two rules carry the safety of it: Release is sent only after
// Committed, and Abort never once Confirm has been, unless pod 0 itself says that it did not
// commit.
#include <fmt/format.h>

#include <algorithm>

#include "coordinator/transitions.h"
#include "coordinator/why.h"

namespace holdfast::coordinator {
namespace {

v1::ToWarden MakeSettle(const Job& job, const Checkpoint& checkpoint) {
  v1::ToWarden message;
  message.mutable_settle()->set_checkpoint(checkpoint.number);
  message.mutable_settle()->set_how(checkpoint.how);
  message.mutable_settle()->set_leave(job.start.eviction.has_value());
  return message;
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
  job.commit_round = 0;
  job.confirmed = !job.pods[0].asks;
  turn.Tell(0, std::move(message));
}

// Pod 0 may write the manifest once all the others have said that they stay as they are.
void Confirm(Turn& turn) {
  Job& job = turn.job;
  if (job.commit_round == 0 || !std::ranges::all_of(job.pods, &Pod::stays)) return;
  v1::ToWarden message;
  message.mutable_confirm()->set_checkpoint(job.checkpoint->number);
  message.mutable_confirm()->set_round(job.commit_round);
  job.confirmed = true;
  turn.Tell(0, std::move(message));
}

void AskToStay(Turn& turn, uint32_t pod) {
  v1::ToWarden message;
  message.mutable_stay()->set_checkpoint(turn.job.checkpoint->number);
  message.mutable_stay()->set_round(turn.job.commit_round);
  turn.Tell(pod, std::move(message));
}

// A pod that has gone on by itself cannot be part of it.
std::optional<std::string> WhoHasGoneOn(const Turn& turn) {
  for (uint32_t i = 0; i < turn.job.pods.size(); ++i)
    if (turn.job.pods[i].connected && turn.job.pods[i].phase != v1::PHASE_PREPARED)
      return turn.Name(i) + ": resumed before the commit";
  return std::nullopt;
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
  job.saved_once = true;
  turn.Enter(Stage::kSettling, turn.policy.settle_timeout);
  // Before its wardens leave: as long as it is being cleaned up, nobody who asks sees PREEMPTED.
  if (checkpoint.stop && job.start.eviction && !job.start.eviction->requeued) {
    turn.Do(Requeue{.hold = checkpoint.hold, .restart_count = job.start.restart_count});
    job.start.eviction->requeued = true;  // should it fail, it is asked for again (records.cc)
  }
  turn.TellAll(MakeSettle(job, checkpoint));
}

void FinishIfSettled(Turn& turn) {
  Job& job = turn.job;
  const v1::Settle::How how = job.checkpoint->how;
  const bool settled =
      how == v1::Settle::RELEASE
          ? std::ranges::all_of(
                job.pods,
                [](const Pod& pod) { return pod.phase == v1::PHASE_RELEASED || !pod.connected; })
          : job.all_run();
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
    job.request.nodes = done.nodes;
    job.departure.hold = done.hold;
    return Leave(turn, done.reason);
  }
  if (failed || job.commented) turn.Do(Comment{failed ? done.error : ""});
  job.commented = failed;
  GoOn(turn);
  // A wish of before may have begun a checkpoint already.
  if (failed && !job.checkpoint) Regret(turn, done);
}

// Pod 0 has come back while a commit was under way, or another pod has and pod 0 is waiting.
void ResolveCommit(Turn& turn, uint32_t committed) {
  Job& job = turn.job;
  const uint32_t number = job.checkpoint->number;
  if (committed >= number) {
    if (!std::ranges::contains(job.saved, number)) job.saved.push_back(number);
    return Commit(turn);
  }
  if (!job.pods[0].connected || job.confirmed) return;
  if (const auto why = WhoHasGoneOn(turn)) return Abort(turn, Code::kConflict, *why);
  if (job.commit_sent) {
    if (job.commit_round != 0) AskToStay(turn, turn.event.pod);
  } else if (AllSaved(job) && job.all_connected()) {
    SendCommit(turn);
  }
}

// Why this checkpoint cannot be, unless it is another that failed.
std::optional<std::string> Blame(const Turn& turn, const v1::Failed& failed) {
  if (failed.checkpoint() != turn.job.checkpoint->number) return std::nullopt;
  return fmt::format("{}: {}{}", turn.Name(turn.event.pod), failed.message(),
                     failed.log().empty() ? "" : "; log: " + failed.log());
}

std::string NoAnswer(const Turn& turn, const std::string& pods) {
  return fmt::format("{}: no answer in time: {}", StageName(turn.job.stage), pods);
}

}  // namespace

void Freeze(Turn& turn) {
  Job& job = turn.job;
  if (!job.can_save()) return Abort(turn, Code::kConflict, "not all of its pods are there and run");
  const Checkpoint& checkpoint = *job.checkpoint;
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

void Abort(Turn& turn, Code code, const std::string& why) {
  Job& job = turn.job;
  Checkpoint& checkpoint = *job.checkpoint;
  checkpoint.how = v1::Settle::ABORT;
  checkpoint.error = fmt::format("checkpoint {}: {}", checkpoint.number, RemedyFirst(why, code));
  checkpoint.code = CodeName(code);
  job.last_error = checkpoint.error;
  turn.Do(SaveCheckpoint{checkpoint});
  turn.Enter(Stage::kSettling, turn.policy.settle_timeout);
  turn.TellAll(MakeSettle(job, checkpoint));
}

void OnPrepared(Turn& turn, const v1::Prepared& prepared) {
  if (prepared.checkpoint() != turn.job.checkpoint->number) return;
  turn.pod().phase = v1::PHASE_PREPARED;
  turn.pod().part = prepared.part();
  CommitIfSaved(turn);
}

void OnStored(Turn& turn, const v1::Stored& stored) {
  Job& job = turn.job;
  if (turn.event.pod != 0 || stored.checkpoint() != job.checkpoint->number) return;
  job.confirmed = false;  // it asks, so it has not
  job.commit_round = stored.round();
  if (const auto why = WhoHasGoneOn(turn)) return Abort(turn, Code::kConflict, *why);
  for (uint32_t i = 0; i < job.pods.size(); ++i) {
    job.pods[i].stays = i == 0;
    if (i != 0) AskToStay(turn, i);
  }
  Confirm(turn);
}

void OnStoredLate(Turn& turn, const v1::Stored& stored) {
  if (stored.checkpoint() == turn.job.checkpoint->number)
    turn.Tell(turn.event.pod, MakeSettle(turn.job, *turn.job.checkpoint));
}

void OnStays(Turn& turn, const v1::Stays& stays) {
  Job& job = turn.job;
  if (stays.checkpoint() != job.checkpoint->number || stays.round() != job.commit_round) return;
  turn.pod().stays = true;
  if (!job.confirmed) Confirm(turn);
}

void OnCommitted(Turn& turn, const v1::Committed& committed) {
  Job& job = turn.job;
  if (turn.event.pod != 0 || committed.checkpoint() != job.checkpoint->number) return;
  std::vector<uint32_t> found;
  for (const v1::Saved& saved : committed.saved())
    if (saved.number() >= job.first_checkpoint) found.push_back(saved.number());
  if (!std::ranges::contains(found, committed.checkpoint()))
    found.push_back(committed.checkpoint());
  job.FoundSaved(std::move(found));
  Commit(turn);
}

void OnSettledLate(Turn& turn, const v1::Settled&) {
  turn.pod().phase = v1::PHASE_RUNNING;
  GrantWish(turn);
}

void OnSettled(Turn& turn, const v1::Settled& settled) {
  if (settled.checkpoint() != turn.job.checkpoint->number) return;
  turn.pod().phase = settled.how() == v1::Settle::RELEASE ? v1::PHASE_RELEASED : v1::PHASE_RUNNING;
  turn.pod().part.reset();
  FinishIfSettled(turn);
}

void OnFailedFreezing(Turn& turn, const v1::Failed& failed) {
  if (const auto why = Blame(turn, failed)) Abort(turn, CodeFromName(failed.code()), *why);
}

void OnFailedCommitting(Turn& turn, const v1::Failed& failed) {
  if (turn.event.pod == 0) return OnFailedFreezing(turn, failed);
  OnFailedSettling(turn, failed);  // only pod 0 can say that there is no commit
}

void OnFailedSettling(Turn& turn, const v1::Failed& failed) {
  if (const auto why = Blame(turn, failed)) turn.Mark("failed", 0, *why);
}

void OnFreezingTimeout(Turn& turn, const Timer&) {
  Abort(turn, Code::kTimeout, NoAnswer(turn, turn.Names(turn.PodsThat([](const Pod& pod) {
          return pod.phase != v1::PHASE_PREPARED;
        }))));
}

void OnCommittingTimeout(Turn& turn, const Timer&) {
  const std::string why = NoAnswer(turn, turn.Name(0));
  if (!turn.job.confirmed) return Abort(turn, Code::kTimeout, why);
  SuspectSilence(turn, why);
}

void OnSettlingTimeout(Turn& turn, const Timer&) {
  Job& job = turn.job;
  if (job.checkpoint->how == v1::Settle::RELEASE) {
    // What is left of the pods goes with the requeue.
    for (Pod& pod : job.pods) pod.phase = v1::PHASE_RELEASED;
    return FinishIfSettled(turn);
  }
  SuspectSilence(turn, NoAnswer(turn, turn.Names(turn.PodsThat([](const Pod& pod) {
                   return pod.phase != v1::PHASE_RUNNING;
                 }))));
}

void OnLostSaving(Turn& turn, const Lost& lost) {
  OnLost(turn, lost);
  // After a restart of the coordinator all are away; only one that was there can be lost.
  Abort(turn, Code::kUnavailable, turn.Name(turn.event.pod) + ": its warden's connection was lost");
}

void OnLostSettling(Turn& turn, const Lost& lost) {
  OnLost(turn, lost);
  FinishIfSettled(turn);
}

void OnHelloRunning(Turn& turn, const v1::Hello& hello) {
  if (ComesBack(turn, hello)) RunOn(turn, hello);
}

void RunOn(Turn& turn, const v1::Hello& hello) {
  const v1::Phase phase = hello.phase();
  if (phase == v1::PHASE_RELEASED) return Suspect(turn, turn.Name(hello.pod()) + ": released");
  if (phase == v1::PHASE_PREPARING || phase == v1::PHASE_PREPARED || phase == v1::PHASE_COMMITTED) {
    // Of a checkpoint that nobody here remembers. Resuming loses nothing, committed or not; and
    // while this pod was still being saved, there was no commit.
    turn.Tell(hello.pod(), MakeSettle(turn.job, Checkpoint{.number = hello.checkpoint(),
                                                           .how = phase == v1::PHASE_PREPARING
                                                                      ? v1::Settle::ABORT
                                                                      : v1::Settle::RESUME}));
  }
  if (turn.job.all_connected()) GoOn(turn);
}

void OnHelloFreezing(Turn& turn, const v1::Hello& hello) {
  if (!ComesBack(turn, hello)) return;
  if (hello.phase() == v1::PHASE_RUNNING)
    return Abort(turn, Code::kConflict,
                 turn.Name(hello.pod()) + ": came back without having saved");
  CommitIfSaved(turn);
}

void OnHelloCommitting(Turn& turn, const v1::Hello& hello) {
  if (ComesBack(turn, hello)) ResolveCommit(turn, hello.pod() == 0 ? hello.committed() : 0);
}

void OnHelloSettling(Turn& turn, const v1::Hello& hello) {
  if (!ComesBack(turn, hello)) return;
  const Checkpoint& checkpoint = *turn.job.checkpoint;
  const bool released = checkpoint.how == v1::Settle::RELEASE;
  if (hello.phase() != (released ? v1::PHASE_RELEASED : v1::PHASE_RUNNING))
    turn.Tell(hello.pod(), MakeSettle(turn.job, checkpoint));
  FinishIfSettled(turn);
}

}  // namespace holdfast::coordinator
