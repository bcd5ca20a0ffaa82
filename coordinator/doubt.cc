// Finding out that a job has lost a part of itself, and what is done about it.
#include <fmt/format.h>

#include <utility>

#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

std::string WhoIsMissed(const Turn& turn) {
  return "the warden did not come back: " +
         turn.Names(turn.PodsThat([](const Pod& pod) { return !pod.connected; }));
}

void Miss(Turn& turn) {
  if (turn.job.start.doubted_end && turn.job.pods[0].connected) return BlameLostNode(turn);
  SuspectSilence(turn, WhoIsMissed(turn));
}

}  // namespace

void Break(Turn& turn) {
  Job& job = turn.job;
  const Suspicion suspicion = *std::exchange(job.start.suspicion, std::nullopt);
  const std::string& why = suspicion.why;
  turn.Mark("broken", 0, why);
  job.last_error = why;
  AddNodes(job.exclusions.next, suspicion.nodes);
  AddNodes(job.exclusions.next, job.lost_nodes());
  const bool may_be_saved = job.newest() != 0 || job.stage == Stage::kCommitting;
  // As if Slurm had lost a node.
  if (job.started && !may_be_saved && ProspectOf(job) == Prospect::kEnd)
    return RefuseAll(turn, why + "; it has no checkpoint to go back to");
  if (++job.attempts >= turn.policy.restore_attempts)
    return Hold(turn, fmt::format("{} (failure {} without progress)", why, job.attempts));
  Leave(turn, Reason::kFailure);
}

void Suspect(Turn& turn, const std::string& why) {
  auto& suspicion = turn.job.start.suspicion;
  if (!suspicion || suspicion->silence)
    suspicion = Suspicion{.why = why, .nodes = turn.job.lost_nodes()};
  turn.Do(Ask{});
}

void SuspectSilence(Turn& turn, const std::string& why) {
  auto& suspicion = turn.job.start.suspicion;
  if (!suspicion)
    suspicion = Suspicion{.why = why, .nodes = turn.job.lost_nodes(), .silence = true};
  turn.Do(Ask{});
}

void TrustAgain(Turn& turn) {
  Job& job = turn.job;
  if (!job.start.suspicion || !job.start.suspicion->silence) return;
  turn.Mark("trusted-again", 0, job.start.suspicion->why);
  job.start.suspicion.reset();
  // It may have been another's silence that was too long.
  turn.Limit(job.stage_limit);
}

void StandStill(Turn& turn) {
  Job& job = turn.job;
  if (!job.suspended) turn.Mark("suspended");
  job.suspended = true;
  TrustAgain(turn);
}

void MoveAgain(Turn& turn) {
  Job& job = turn.job;
  job.suspended = false;
  job.limit.end_time = 0;  // it has moved, and nobody has waited for it
  turn.Mark("unsuspended");
  turn.Limit(job.stage_limit);
  if (!job.all_connected())
    turn.Do(Arm{TimerKind::kReconnect, turn.policy.restart_grace});
  else if (job.start.doubted_end)
    turn.Do(Arm{TimerKind::kEnd, turn.policy.end_doubt});
  if (job.start.wish) turn.Do(Arm{TimerKind::kRetry, turn.policy.retry_pause});
}

void OnLostQuietly(Turn& turn, const Lost&) {
  turn.pod().connected = false;
  turn.pod().stays = false;
  if (turn.event.pod == 0) turn.job.commit_sent = false;
}

void OnLost(Turn& turn, const Lost& lost) {
  OnLostQuietly(turn, lost);
  turn.Do(Arm{TimerKind::kReconnect, turn.policy.reconnect_grace});
  if (turn.job.start.doubted_end && turn.event.pod != 0) return BlameLostNode(turn);
  turn.Do(Ask{});
}

void OnNotBackGathering(Turn& turn, const Timer&) {
  for (Pod& pod : turn.job.pods) pod.awaited = false;
}

void OnNotBack(Turn& turn, const Timer& timer) {
  OnNotBackGathering(turn, timer);
  if (!turn.job.all_connected()) Miss(turn);
}

void OnNotBackSaving(Turn& turn, const Timer& timer) {
  OnNotBackGathering(turn, timer);
  if (turn.job.all_connected()) return;
  Abort(turn, Code::kUnavailable, WhoIsMissed(turn));
  Miss(turn);
}

void OnNotBackCommitting(Turn& turn, const Timer& timer) {
  if (turn.job.confirmed) return OnNotBack(turn, timer);
  OnNotBackSaving(turn, timer);
}

}  // namespace holdfast::coordinator
