// How a job ends: by its script, or because it cannot go on.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

bool IsGood(const v1::Ended& ended) { return ended.exit_code() == 0 && ended.signal() == 0; }

std::string Describe(const v1::Ended& ended) {
  return ended.signal() != 0 ? fmt::format("signal {}", ended.signal())
                             : fmt::format("exit code {}", ended.exit_code());
}

// While it ran Slurm's record had to allow what its user forbids (records.cc). With nothing to go
// on to, it is to say so again before Slurm looks at RequeueExit, or somebody requeues the job.
bool IsToForbidRequeue(const Job& job) {
  return !job.requeue.value_or(true) && !job.start.eviction &&
         (job.start.ended || ProspectOf(job) == Prospect::kEnd);
}

void TellAllTheEnd(Turn& turn) {
  for (uint32_t pod = 0; pod < turn.job.pods.size(); ++pod) TellTheEnd(turn, pod);
}

void EndScript(Turn& turn, v1::Ended ended) {
  Job& job = turn.job;
  job.start.doubted_end.reset();
  // While Slurm takes the job away, a script may end because of that, and with exit code 0; and one
  // that a signal ended may not have ended by itself. Slurm's last word on it counts
  // (OnRecordEnding).
  job.start.ended = !job.start.eviction && !job.start.preemption_seen && ended.signal() == 0;
  NoteEnd(turn, IsGood(ended) && job.start.ended);
  GiveUpCheckpoint(turn, "the job ended meanwhile");
  turn.Mark("script-ended", 0, Describe(ended));
  CountTime(turn, /*interrupted=*/false);
  DisarmRunTimers(turn);
  if (!IsToForbidRequeue(job)) {
    TellAllTheEnd(turn);
    return turn.Enter(Stage::kEnding);
  }
  // Slurm changes no job that has ended, so its pods, and with them its script, end afterwards.
  job.forbidding = true;
  turn.Do(Amend{.requeue = false});
  turn.Do(Ask{});
  turn.Enter(Stage::kEnding, turn.policy.forbid_timeout);
}

// From a checkpoint, or because Slurm too would start it over after the loss of a node.
bool MayComeBack(const Job& job) {
  return job.newest() != 0 || ProspectOf(job) == Prospect::kStartOver;
}

// No node is behind it. But Slurm, which takes jobs away with SIGTERM, may be: its record tells, if
// it is asked now. What has no checkpoint to go on from just ends.
void BelieveEnd(Turn& turn) {
  Job& job = turn.job;
  if (job.newest() == 0) return EndScript(turn, *job.start.doubted_end);
  job.end_asked_ns = turn.now();
  turn.Do(Ask{});
}

// A node that dies takes the program with it: mpirun on another node sees a connection close and
// ends (Open MPI's even with exit code 0), and news of that can be here before the node is missed.
// Pods that are all right end after pod 0's, and say so.
bool MayBeALostNodesDoing(const Job& job) {
  return MayComeBack(job) && !job.all_in(v1::PHASE_ENDED);
}

// One of its pods has died, and that is being dealt with.
bool HasLostAPod(const Job& job) {
  return MayComeBack(job) && job.start.suspicion && !job.start.suspicion->silence;
}

// Takes note of a pod's end. If the pod died with work undone, says how.
std::optional<std::string> TakeEnd(Turn& turn, const v1::Ended& ended) {
  Job& job = turn.job;
  if (turn.pod().phase == v1::PHASE_RELEASED) return std::nullopt;  // we killed it
  turn.pod().phase = v1::PHASE_ENDED;
  const bool script = turn.event.pod == 0 && job.started;
  if (script) {
    if (job.start.doubted_end || HasLostAPod(job)) return std::nullopt;  // said again, or after it
    job.start.doubted_end = ended;
    if (!MayBeALostNodesDoing(job)) return BelieveEnd(turn), std::nullopt;
    if (!job.lost_nodes().empty()) return BlameLostNode(turn), std::nullopt;
    if (job.all_connected()) turn.Do(Arm{TimerKind::kEnd, turn.policy.end_doubt});
    return std::nullopt;
  }
  if (job.started && IsGood(ended)) {
    // Its root has seen pod 0's go; how that went, pod 0's warden tells.
    if (job.start.doubted_end && job.all_in(v1::PHASE_ENDED)) BelieveEnd(turn);
    return std::nullopt;
  }
  return fmt::format("{}: the pod died: {}{}{}", turn.Name(turn.event.pod), Describe(ended),
                     ended.message().empty() ? "" : ": ", ended.message());
}

}  // namespace

void BlameLostNode(Turn& turn) {
  Job& job = turn.job;
  turn.Do(Disarm{TimerKind::kEnd});
  Suspect(turn, fmt::format("a node was lost, and the script ended with {}",
                            Describe(*job.start.doubted_end)));
  job.start.doubted_end.reset();
}

void RefuseAll(Turn& turn, const std::string& why) {
  Job& job = turn.job;
  if (!job.any_connected()) return Hold(turn, why);
  job.last_error = why;
  GiveUpCheckpoint(turn, why);
  turn.Mark("refused", 0, why);
  turn.Do(Comment{why});
  job.commented = true;
  job.start.refused = true;
  TellAllTheEnd(turn);
  DisarmRunTimers(turn);
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

void NoteForbidden(Turn& turn, const Record& record) {
  Job& job = turn.job;
  if (!job.forbidding) return;
  if (record.requeue && record.state == Record::State::kRunning)
    return turn.Do(Arm{TimerKind::kAsk, turn.policy.ask_pause});
  job.forbidding = false;
  TellAllTheEnd(turn);
}

void OnEndingTimeout(Turn& turn, const Timer&) {
  // slurmctld does not answer, and a job that has ended is not to wait for it.
  if (std::exchange(turn.job.forbidding, false)) TellAllTheEnd(turn);
  // Nobody is left to end the job with an error, so it is taken off its nodes.
  if (turn.job.start.refused && !turn.job.any_connected()) return Hold(turn, turn.job.last_error);
  turn.Do(Arm{TimerKind::kPhase, turn.policy.settle_timeout});
}

void OnEnded(Turn& turn, const v1::Ended& ended) {
  if (const auto death = TakeEnd(turn, ended)) Suspect(turn, *death);
}

void OnEndedSaving(Turn& turn, const v1::Ended& ended) {
  const auto death = TakeEnd(turn, ended);
  if (!death) return;
  Abort(turn, Code::kUnavailable, *death);
  Suspect(turn, *death);
}

void OnEndedSettling(Turn& turn, const v1::Ended& ended) {
  if (turn.job.checkpoint->how != v1::Settle::RELEASE) OnEnded(turn, ended);  // else: we killed it
}

void OnEndBelieved(Turn& turn, const Timer&) {
  if (turn.job.start.doubted_end) BelieveEnd(turn);
}

bool EndIfBelieved(Turn& turn, const Record& record) {
  const Job& job = turn.job;
  if (!job.start.doubted_end || job.end_asked_ns == 0) return false;
  if (record.asked_ns < job.end_asked_ns)
    turn.Do(Ask{});
  else
    EndScript(turn, *job.start.doubted_end);
  return true;
}

}  // namespace holdfast::coordinator
