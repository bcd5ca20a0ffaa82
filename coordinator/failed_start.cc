// A start that came to nothing, by its pods' word or for want of it: tried again, elsewhere or from
// another checkpoint, held, or refused.
#include <fmt/format.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

// Failures that another node would not mend.
bool IsPermanent(Code code) {
  return code == Code::kInvalid || code == Code::kDenied || code == Code::kNotFound ||
         code == Code::kNoSpace || code == Code::kChanged;
}

// Whatever is tried, its processes cannot go on there: it waits for a node that has what they need.
void LeaveUnfit(Turn& turn, const std::string& why, const std::string& node) {
  Job& job = turn.job;
  job.last_error = why;
  AddNodes(job.exclusions.unfit, {node});
  turn.Do(FindKin{.node = node, .fit = job.move ? job.move->from : std::vector<std::string>{}});
  turn.Do(Comment{why + "; it waits for another node"});
  job.commented = true;
  Leave(turn, Reason::kRestore);
}

// A start came to nothing: no process of it has run, or none that has counts.
void FailStart(Turn& turn, Code code, const std::string& why, const std::string& node) {
  Job& job = turn.job;
  const bool restoring = job.start.restore_job != 0;
  turn.Mark(restoring ? "restore-failed" : "start-failed", 0, why);
  turn.Do(StartResult{.restore = restoring, .failure = code});
  const bool own = job.start.restore_job == job.id;
  if (own && code == Code::kCorrupt) {
    job.bad.push_back(job.start.restore_checkpoint);
    job.request.checkpoint = 0;
    job.last_error = why;
    if (job.newest() == 0) return Hold(turn, why);
    return Leave(turn, Reason::kRestore);
  }
  if (restoring && code == Code::kUnfit && !node.empty()) return LeaveUnfit(turn, why, node);
  if (IsPermanent(code) || (restoring && code == Code::kCorrupt)) {
    if (own || code == Code::kChanged || job.started) return Hold(turn, why);
    return RefuseAll(turn, why);
  }
  if (++job.attempts >= turn.policy.restore_attempts) {
    const std::string given_up =
        fmt::format("{} (attempt {} of {})", why, job.attempts, turn.policy.restore_attempts);
    return restoring || job.started ? Hold(turn, given_up) : RefuseAll(turn, given_up);
  }
  job.last_error = why;
  if (!node.empty()) AddNodes(job.exclusions.next, {node});
  Leave(turn, restoring ? Reason::kRestore : Reason::kStart);
}

std::string NotInTime(const Turn& turn, const std::vector<uint32_t>& late) {
  return fmt::format("{}: not in time: {}", StageName(turn.job.stage), turn.Names(late));
}

void FailLateStart(Turn& turn, const std::vector<uint32_t>& late) {
  std::string node;
  for (const uint32_t pod : late)
    if (node.empty()) node = turn.job.nodes()[pod];
  FailStart(turn, Code::kTimeout, NotInTime(turn, late), node);
}

std::string Describe(const Turn& turn, const v1::Failed& failed) {
  const Start& start = turn.job.start;
  return fmt::format("{}{}: {}{}",
                     start.restore_job == 0
                         ? std::string("starting")
                         : fmt::format("restoring checkpoint {} of job {}",
                                       start.restore_checkpoint, start.restore_job),
                     ": " + turn.Name(turn.event.pod), failed.message(),
                     failed.log().empty() ? "" : "; log: " + failed.log());
}

}  // namespace

void OnFailedStart(Turn& turn, const v1::Failed& failed) {
  FailStart(turn, CodeFromName(failed.code()), Describe(turn, failed),
            turn.job.nodes()[turn.event.pod]);
}

void OnFailedStarting(Turn& turn, const v1::Failed& failed) {
  // Some of its processes may have run, so no other node can be tried lightly.
  Suspect(turn, Describe(turn, failed));
}

void OnGatheringTimeout(Turn& turn, const Timer&) {
  FailLateStart(turn, turn.PodsThat([](const Pod& pod) { return !pod.connected; }));
}

void OnPreparingTimeout(Turn& turn, const Timer&) {
  FailLateStart(turn, turn.PodsThat([](const Pod& pod) { return pod.phase != v1::PHASE_READY; }));
}

void OnStartingTimeout(Turn& turn, const Timer&) {
  SuspectSilence(turn, NotInTime(turn, turn.PodsThat([](const Pod& pod) {
                   return pod.phase != v1::PHASE_RUNNING;
                 })));
}

}  // namespace holdfast::coordinator
