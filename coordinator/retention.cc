// What becomes of the checkpoints of a job that has ended. Good ends are not waited for: pod 0's
// warden removes everything before the job's step is over (TellTheEnd). After any other end they
// stay for a time, in which their user may restore from them.
//
// That time is counted here, in pieces by a clock that only runs forward and only while the
// coordinator does. So no jump of the machine's clock, and no absence of the coordinator, lets them
// expire early; each restart prolongs it by at most one piece.
#include <fmt/format.h>

#include <algorithm>

#include "coordinator/state.h"
#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

constexpr std::chrono::seconds kPiece{3600};

}  // namespace

std::optional<std::chrono::seconds> KeptFor(const Job& job, const Policy& policy) {
  if (job.stage != Stage::kEnded || job.aftermath.removed) return std::nullopt;
  const bool none_wanted = job.saved.empty() && !job.unwanted.empty();
  if (job.aftermath.ended_well || none_wanted) return std::chrono::seconds(0);
  return std::max(std::chrono::seconds(0),
                  policy.keep_after_failure - std::chrono::seconds(job.aftermath.kept_seconds));
}

void NoteEnd(Turn& turn, bool well) {
  Job& job = turn.job;
  // Nothing is removed on a doubt: unless every pod says that it ended, a lost node may be behind
  // it.
  job.aftermath.ended_well = well && (job.newest() == 0 || job.all_in(v1::PHASE_ENDED));
  if (job.aftermath.ended_well) job.saved.clear();
}

void KeepForATime(Turn& turn) {
  const auto left = KeptFor(turn.job, turn.policy);
  if (left && left->count() > 0) turn.Do(Arm{TimerKind::kKept, std::min(*left, kPiece)});
}

void OnKept(Turn& turn, const Timer&) {
  Job& job = turn.job;
  const auto left = KeptFor(job, turn.policy);
  if (!left) return;
  job.aftermath.kept_seconds += static_cast<uint64_t>(std::min(*left, kPiece).count());
  if (*left <= kPiece) turn.Mark("expired");
  KeepForATime(turn);
}

void OnRemoved(Turn& turn, const Removed& removed) {
  if (removed.all) {
    turn.refusal = "it has not ended, so its checkpoints are needed";
    return;
  }
  const auto is_gone = [&](uint32_t number) {
    return std::ranges::contains(removed.checkpoints, number);
  };
  std::erase_if(turn.job.saved, is_gone);
  std::erase_if(turn.job.unwanted, is_gone);
}

void OnRemovedEnded(Turn& turn, const Removed& removed) {
  Job& job = turn.job;
  if (!removed.all) return OnRemoved(turn, removed);
  job.saved.clear();
  job.unwanted.clear();
  job.aftermath.removed = true;
  turn.Do(Disarm{TimerKind::kKept});
  turn.Mark("removed");
}

void OnUnwant(Turn& turn, const Unwant& unwant) {
  Job& job = turn.job;
  const uint32_t number = unwant.checkpoint;
  const bool is_read = IsActive(job.stage) && job.start.restore_checkpoint == number &&
                       job.start.restore_job == job.id;
  if (!job.saved.empty() && number == std::ranges::max(job.saved))
    turn.refusal = "it has not ended, so its newest checkpoint is needed";
  else if (number == job.newest())
    turn.refusal = "it has not ended, and no newer checkpoint can be restored";
  else if (is_read || job.request.checkpoint == number)
    turn.refusal = fmt::format("its present start is restored from checkpoint {}", number);
  else
    OnUnwantEnded(turn, unwant);
}

void OnUnwantEnded(Turn& turn, const Unwant& unwant) {
  Job& job = turn.job;
  if (std::erase(job.saved, unwant.checkpoint) == 0) {
    turn.refusal = fmt::format("it has no checkpoint {}", unwant.checkpoint);
    return;
  }
  job.unwanted.push_back(unwant.checkpoint);
  turn.Mark("unwanted", 0, fmt::format("checkpoint {}", unwant.checkpoint));
}

}  // namespace holdfast::coordinator
