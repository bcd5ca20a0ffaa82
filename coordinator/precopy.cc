// Before a freeze, memory is stored while the job runs on: pods do so each for itself, and are
// frozen together when all have done, so that none stands still for another's sake. Nothing depends
// on it: whenever the checkpoint is wanted now, it goes on without.
#include <algorithm>
#include <chrono>

#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

using std::chrono::milliseconds;

constexpr int64_t kNsPerMs = 1'000'000;

v1::ToWarden MakePrecopy(const Checkpoint& checkpoint) {
  v1::ToWarden message;
  message.mutable_precopy()->set_checkpoint(checkpoint.number);
  message.mutable_precopy()->set_deadline_unix_ms(checkpoint.deadline_unix_ms);
  return message;
}

milliseconds Until(const Turn& turn, int64_t unix_ms) {
  return milliseconds(std::max<int64_t>(unix_ms - turn.now() / kNsPerMs, 0));
}

}  // namespace

void CopyAhead(Turn& turn) {
  Job& job = turn.job;
  const Checkpoint& checkpoint = *job.checkpoint;
  for (Pod& pod : job.pods) pod.precopied = false;
  job.freeze_by_unix_ms = 0;
  milliseconds limit = turn.policy.phase_timeout;
  // Wardens know better when to stop; this is for one that does not.
  if (checkpoint.deadline_unix_ms != 0)
    limit = std::min(limit, Until(turn, checkpoint.deadline_unix_ms) / 2);
  turn.Enter(Stage::kPrecopying, std::max(limit, milliseconds(1)));
  turn.TellAll(MakePrecopy(checkpoint));
}

void EndPrecopy(Turn& turn) {
  if (turn.job.can_save()) turn.job.checkpoint->precopied_ns = turn.now();
  Freeze(turn);
}

void OnPrecopied(Turn& turn, const v1::Precopied& precopied) {
  Job& job = turn.job;
  if (precopied.checkpoint() != job.checkpoint->number) return;
  turn.pod().precopied = true;
  if (std::ranges::all_of(job.pods, &Pod::precopied)) return EndPrecopy(turn);
  const int64_t freeze_by = precopied.freeze_by_unix_ms();
  if (freeze_by == 0 || (job.freeze_by_unix_ms != 0 && job.freeze_by_unix_ms <= freeze_by)) return;
  job.freeze_by_unix_ms = freeze_by;
  turn.Limit(std::min(Until(turn, freeze_by), turn.policy.phase_timeout));
}

void OnPrecopyingTimeout(Turn& turn, const Timer&) { EndPrecopy(turn); }

void OnHelloPrecopying(Turn& turn, const v1::Hello& hello) {
  if (!ComesBack(turn, hello)) return;
  if (hello.phase() != v1::PHASE_RUNNING)
    return Abort(turn, Code::kConflict,
                 turn.Name(hello.pod()) + ": came back otherwise than running");
  turn.pod().precopied = false;
  turn.Tell(hello.pod(), MakePrecopy(*turn.job.checkpoint));
}

}  // namespace holdfast::coordinator
