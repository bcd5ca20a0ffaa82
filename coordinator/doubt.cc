// Finding out that a job has lost a part of itself, and what is done about it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "coordinator/transitions.h"

namespace holdfast::coordinator {

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

void OnLost(Turn& turn, const Lost&) {
  Job& job = turn.job;
  turn.pod().connected = false;
  if (turn.event.pod == 0) job.commit_sent = false;
  if (!IsActive(job.stage) || job.stage == Stage::kGathering) return;
  turn.Do(Arm{TimerKind::kReconnect, turn.policy.reconnect_grace});
  if (job.start.doubted_end && turn.event.pod != 0) return BlameLostNode(turn);
  turn.Do(Ask{});
}

void OnReconnectTimeout(Turn& turn, const Timer&) {
  Job& job = turn.job;
  std::vector<std::string> lost;
  for (uint32_t i = 0; i < job.pods.size(); ++i) {
    job.pods[i].awaited = false;
    if (!job.pods[i].connected) lost.push_back(turn.Name(i));
  }
  if (lost.empty() || job.stage == Stage::kGathering) return;
  const std::string why = fmt::format("the warden did not come back: {}", fmt::join(lost, ", "));
  if (job.stage == Stage::kPrecopying || job.stage == Stage::kFreezing) Abort(turn, why);
  if (job.start.doubted_end && job.pods[0].connected) return BlameLostNode(turn);
  Suspect(turn, why);
}

}  // namespace holdfast::coordinator
