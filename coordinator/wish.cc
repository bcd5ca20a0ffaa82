// What somebody wants done with a job: its user, whoever empties a node, Slurm that preempts it,
// the cloud, or its own interval. Most may be refused. What must leave its node is kept until it
// can be done.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <string>

#include "coordinator/transitions.h"
#include "coordinator/why.h"

namespace holdfast::coordinator {
namespace {

bool IsNotice(Reason reason) {
  return reason == Reason::kPreemption || reason == Reason::kSpot || reason == Reason::kRequeued;
}

// The job must leave, whatever it is doing.
bool IsUrgent(Reason reason) {
  return IsNotice(reason) || reason == Reason::kEvacuate || reason == Reason::kTimeLimit;
}

const char* CauseEvent(Reason reason) {
  if (IsNotice(reason)) return "notice";
  return reason == Reason::kInterval || reason == Reason::kTimeLimit ? "due" : "requested";
}

// Whether it may not be refused.
bool Heed(Turn& turn, const Wish& wish) {
  // Signals that Slurm sends to a node on its way out are part of it.
  if (wish.reason == Reason::kSpot) turn.job.start.preemption_seen = true;
  return IsUrgent(wish.reason);
}

void Refuse(Turn& turn) {
  turn.refusal = WhyNotNow(turn.job).value_or(Obstacle{"it cannot be done now", ""}).Text();
}

// Why it can go nowhere else, as far as its --nodelist says.
std::optional<std::string> WhyNowhere(const Turn& turn, const Wish& wish) {
  const Job& job = turn.job;
  if (const auto why = WhyNotOn(job, wish.nodes)) return why;
  if (wish.reason != Reason::kMigrate || job.listed.empty()) return std::nullopt;
  const auto may_be_used = [&](const std::string& node) {
    return !std::ranges::contains(wish.excluded, node) &&
           !std::ranges::contains(job.exclusions.user, node);
  };
  const auto left = static_cast<size_t>(std::ranges::count_if(job.listed, may_be_used));
  const size_t wanted = std::min(job.listed.size(), wish.nodes != 0 ? wish.nodes : CountNodes(job));
  if (left >= wanted && (!wish.excluded.empty() || wish.nodes != 0)) return std::nullopt;
  return fmt::format(
      "its --nodelist has it on {} of {}, and {} would be left\n"
      "  next: holdfast save {} --stop, scontrol update JobId={} ReqNodeList=..., holdfast resume "
      "{}",
      wanted, fmt::join(job.listed, ","), wish.excluded.empty() ? "none" : std::to_string(left),
      job.id, job.id, job.id);
}

// The checkpoint that is being taken will do, if the job leaves after it, or if nobody has asked
// for that one yet: an interval's is whoever's it suits. False: refused.
bool Join(Turn& turn, const Wish& wish) {
  Checkpoint& checkpoint = *turn.job.checkpoint;
  const bool is_nobodys =
      checkpoint.reason == Reason::kInterval && wish.reason != Reason::kInterval;
  if (!Heed(turn, wish) && !is_nobodys) return Refuse(turn), false;
  if (const auto why = WhyNowhere(turn, wish)) {
    turn.refusal = *why;
    return false;
  }
  if (!checkpoint.stop) {
    checkpoint.stop = wish.stop;
    checkpoint.hold = wish.hold;
    checkpoint.deadline_unix_ms = wish.deadline_unix_ms;
    checkpoint.reason = wish.reason;
    turn.Mark(CauseEvent(wish.reason), 0, ReasonName(wish.reason));
  }
  AddNodes(checkpoint.excluded, wish.excluded);
  return true;
}

}  // namespace

void OnWishUnstarted(Turn& turn, const Wish& wish) {
  if (!Heed(turn, wish)) return Refuse(turn);
  // Nothing of this start has run, so nothing is lost.
  AddNodes(turn.job.exclusions.next, wish.excluded);
  Leave(turn, wish.reason);
}

void OnWishStarting(Turn& turn, const Wish& wish) {
  if (Heed(turn, wish))
    turn.job.start.wish = wish;
  else
    Refuse(turn);
}

void OnWishRunning(Turn& turn, const Wish& wish) {
  if (turn.job.suspended && !IsUrgent(wish.reason)) return Refuse(turn);
  if (const auto why = WhyNowhere(turn, wish)) {
    turn.refusal = *why;
    return;
  }
  if (!turn.job.can_save()) return OnWishStarting(turn, wish);
  Heed(turn, wish);
  Begin(turn, wish);
}

void OnWishPrecopying(Turn& turn, const Wish& wish) {
  if (Join(turn, wish) && IsUrgent(wish.reason)) EndPrecopy(turn);
}

void OnWishSaving(Turn& turn, const Wish& wish) { Join(turn, wish); }

void OnWishSettling(Turn& turn, const Wish& wish) {
  if (!Heed(turn, wish)) return Refuse(turn);
  if (turn.job.checkpoint->how != v1::Settle::RELEASE) turn.job.start.wish = wish;
}

void OnWishGone(Turn& turn, const Wish&) { Refuse(turn); }

void OnRetry(Turn& turn, const Timer&) { GrantWish(turn); }

void GrantWish(Turn& turn) {
  Job& job = turn.job;
  if (!job.start.wish || !job.can_save()) return;
  const Wish wish = *job.start.wish;
  job.start.wish.reset();
  Begin(turn, wish);
}

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
                 .begun_ns = wish.begun_ns,
                 .nodes = wish.nodes});
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

void Regret(Turn& turn, const Checkpoint& failed) {
  if (!failed.stop || !IsUrgent(failed.reason)) return;
  const int64_t again_ms = (2 * turn.now() - failed.begun_ns) / 1'000'000;  // if it takes as long
  const bool too_late = failed.deadline_unix_ms != 0 &&
                        again_ms + turn.policy.retry_pause.count() > failed.deadline_unix_ms;
  // Of a time limit it is known until when it may be tried again.
  const bool once = failed.reason != Reason::kTimeLimit || failed.deadline_unix_ms == 0;
  if ((failed.second_try && once) || too_late) return DeliverPending(turn);
  turn.job.start.wish = Wish{.reason = failed.reason,
                             .stop = true,
                             .second_try = true,
                             .excluded = failed.excluded,
                             .begun_ns = turn.now(),
                             .deadline_unix_ms = failed.deadline_unix_ms};
  turn.Do(Arm{TimerKind::kRetry, turn.policy.retry_pause});
}

}  // namespace holdfast::coordinator
