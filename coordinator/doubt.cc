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
  Suspect(turn, WhoIsMissed(turn));
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
  if (job.started && !may_be_saved)
    return RefuseAll(turn, why + "; it has no checkpoint to go back to");
  if (++job.attempts >= turn.policy.restore_attempts)
    return Hold(turn, fmt::format("{} (failure {} without progress)", why, job.attempts));
  Leave(turn, Reason::kFailure);
}

void Suspect(Turn& turn, const std::string& why) {
  if (!turn.job.start.suspicion) turn.job.start.suspicion = Suspicion{why, turn.job.lost_nodes()};
  turn.Do(Ask{});
}

void OnLostQuietly(Turn& turn, const Lost&) {
  turn.pod().connected = false;
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
  Abort(turn, WhoIsMissed(turn));
  Miss(turn);
}

}  // namespace holdfast::coordinator
