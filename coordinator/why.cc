#include "coordinator/why.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <string_view>
#include <utility>

namespace holdfast::coordinator {
namespace {

// Behind what is wrong, at the end of the first line; and in a line of its own. Names of files and
// processes, which may have such words in them, have no newline in a message, and stand before the
// end of a line.
constexpr std::string_view kInline = "; next: ";
constexpr std::string_view kLine = "\n  next: ";

// Where a remedy is in a message: what leads to it begins at `begin`. At its end if there is none.
struct Span {
  size_t begin;
  size_t text;
  size_t end;
};

Span FindLine(const std::string& message) {
  const size_t at = message.find(kLine);
  if (at == std::string::npos) return {message.size(), message.size(), message.size()};
  const size_t text = at + kLine.size();
  return {at, text, std::min(message.find('\n', text), message.size())};
}

Span FindRemedy(const std::string& message) {
  const size_t end = std::min(message.find('\n'), message.size());
  const size_t at = std::string_view(message).substr(0, end).rfind(kInline);
  if (at == std::string_view::npos) return FindLine(message);
  return {at, at + kInline.size(), end};
}

// What its user can do about a checkpoint that failed, unless the error itself says more.
const char* Advice(Code code) {
  switch (code) {
    case Code::kNoSpace:
      return "make room where its checkpoints go, or keep fewer (--checkpoint-keep)";
    case Code::kDenied:
      return "see that its user may write where its checkpoints go (--checkpoint-dir)";
    case Code::kTimeout:
      return "save it again when the storage of its checkpoints is less busy";
    case Code::kUnavailable:
    case Code::kConflict:
      return "save it again when all of its nodes answer";
    case Code::kUnsupported:
    case Code::kUnfit:
      return "docs/what-moves.md has what cannot be saved, and what to use instead";
    case Code::kCancelled:
      return "";
    default:
      return "save it again; if that fails too, show this to your administrator";
  }
}

std::string PodsThat(const Job& job, const std::function<bool(const Pod&)>& are) {
  std::string names;
  for (uint32_t i = 0; i < job.pods.size(); ++i)
    if (are(job.pods[i])) names += (names.empty() ? "" : ", ") + PodName(job, i);
  return names;
}
std::string Away(const Job& job) {
  return PodsThat(job, [](const Pod& pod) { return !pod.connected; });
}
std::string NotIn(const Job& job, v1::Phase phase) {
  const std::string names = PodsThat(job, [&](const Pod& pod) { return pod.phase != phase; });
  return names.empty() ? "nobody any more" : names;
}

std::string InProgress(const Job& job) {
  return fmt::format("checkpoint {} ({}) is in progress", job.checkpoint->number,
                     ReasonName(job.checkpoint->reason));
}

std::string Show(const Job& job) { return fmt::format("holdfast show {}", job.id); }

// The newest point of the timeline with one of these names, not after then.
const TimelineEvent* Find(const History& history, std::initializer_list<std::string_view> names,
                          int64_t until_ns = INT64_MAX) {
  for (auto event = history.events.rbegin(); event != history.events.rend(); ++event)
    if (event->unix_ns <= until_ns && std::ranges::contains(names, event->name)) return &*event;
  return nullptr;
}

// An error, and what to do about it.
Explanation OfError(const char* about, std::string reason, const std::string& error,
                    int64_t unix_ns = 0) {
  return {about, std::move(reason), WithoutRemedy(error), RemedyIn(error), unix_ns};
}

void ExplainSaved(const Job& job, const History& history, std::vector<Explanation>& all) {
  const Checkpoint* good = nullptr;
  const Checkpoint* last = nullptr;
  for (const Checkpoint& checkpoint : history.checkpoints) {
    if (checkpoint.number < job.first_checkpoint) continue;
    last = &checkpoint;
    if (checkpoint.number == job.newest()) good = &checkpoint;
  }
  if (good != nullptr)
    all.push_back({"saved", ReasonName(good->reason),
                   fmt::format("checkpoint {} is what it goes back to; it was made because {}",
                               good->number, ReasonWords(good->reason)),
                   "", good->committed_ns});
  else if (job.newest() != 0)
    all.push_back({"saved", "committed",
                   fmt::format("checkpoint {} is what it goes back to", job.newest()), "", 0});
  else if (job.stage != Stage::kEnded && (last == nullptr || last->error.empty()))
    all.push_back({"saved", "not-yet", "it has not been saved yet",
                   IsActive(job.stage) ? fmt::format("holdfast save {}", job.id) : "", 0});
  for (const uint32_t number : job.bad)
    all.push_back({"saved", std::string(CodeName(Code::kCorrupt)),
                   fmt::format("checkpoint {} is damaged, and passed over", number), "", 0});
  if (last != nullptr && !last->error.empty()) {
    all.push_back(OfError("saved", last->code, last->error, last->begun_ns));
    if (last->code == CodeName(Code::kCancelled)) all.back().next.clear();
  }
  if (job.stage == Stage::kRunning && !job.suspended)
    all.push_back(
        {"saved", BasisName(job.plan.basis),
         job.plan.interval.count() > 0
             ? "it is saved from time to time: " + job.plan.Why()
             : std::string("it is saved when it would lose its nodes, and not before"),
         job.plan.interval.count() > 0 ? "" : "sbatch --checkpoint=30m, or =auto, next time", 0});
}

void ExplainMoved(const Job& job, const History& history, std::vector<Explanation>& all) {
  if (history.moves.empty()) return;
  const Move& move = history.moves.back();
  Explanation& moved = all.emplace_back(Explanation{
      "moved", ReasonName(move.reason),
      fmt::format("it left {} because {}", fmt::join(move.from, ","), ReasonWords(move.reason)), "",
      move.left_ns});
  // Beside the reason, what was seen.
  const TimelineEvent* seen = nullptr;
  if (move.reason == Reason::kFailure) seen = Find(history, {"broken"}, move.left_ns);
  if (move.reason == Reason::kStart) seen = Find(history, {"start-failed"}, move.left_ns);
  if (move.reason == Reason::kRestore)
    seen = Find(history, {"restore-failed", "damaged"}, move.left_ns);
  if (seen != nullptr) moved.text += ": " + seen->detail;
  if (move.running_ns != 0)
    moved.text +=
        fmt::format("; it went on on {} {}", fmt::join(move.to, ","),
                    move.checkpoint == 0 ? std::string("from its start: it had never been saved")
                                         : fmt::format("from checkpoint {}", move.checkpoint));
  if (job.moves > 1) moved.text += fmt::format(" (its {} moves: {})", job.moves, Show(job));
}

void ExplainHeld(const Job& job, const History& history, std::vector<Explanation>& all) {
  const bool held =
      job.stage == Stage::kHeld || (job.stage == Stage::kLeaving && job.departure.hold);
  if (!held) return;
  const TimelineEvent* event = Find(history, {"held", "released", "requeued"});
  const int64_t since_ns = event != nullptr ? event->unix_ns : 0;
  const uint32_t newest = job.newest();
  if (job.last_error.empty()) {
    all.push_back({"held", ReasonName(Reason::kSave),
                   fmt::format("it was saved as checkpoint {} and is held, as somebody asked "
                               "(holdfast save --stop)",
                               newest),
                   fmt::format("holdfast resume {}", job.id), since_ns});
    return;
  }
  all.push_back(OfError("held", ReasonName(Reason::kHold), job.last_error, since_ns));
  if (!all.back().next.empty()) return;
  if (newest == 0)
    all.back().next = fmt::format("holdfast resume {} --from-start starts it over", job.id);
  else
    all.back().next = fmt::format(
        "holdfast resume {} tries again, --exclude NODES elsewhere, --checkpoint N from another "
        "one",
        job.id);
}

void ExplainQueue(const Job& job, std::vector<Explanation>& all) {
  std::string text = "it waits in Slurm's queue";
  if (!job.queued_for.empty() && job.queued_for != "None")
    text += fmt::format(": {}", job.queued_for);
  std::string next = fmt::format("squeue --start -j {}", job.id);
  if (job.requeue_failed) text = "Slurm has not taken its requeue yet; it is asked again";
  all.push_back({"waits", StateOf(job), text, next, 0});
  std::vector<std::string> excluded = job.exclusions.next;
  AddNodes(excluded, job.exclusions.unfit);
  if (!excluded.empty())
    all.push_back({"waits", "excluded-nodes",
                   fmt::format("it is kept off {}", fmt::join(excluded, ",")),
                   job.exclusions.unfit.empty()
                       ? fmt::format("holdfast resume {} lets it go to any node", job.id)
                       : fmt::format("nothing, as long as it is to go on: {} lack what its "
                                     "processes use",
                                     fmt::join(job.exclusions.unfit, ",")),
                   0});
}

void ExplainWaits(const Job& job, std::vector<Explanation>& all) {
  const auto waits = [&](std::string text, std::string next = "") {
    all.push_back({"waits", StateOf(job), std::move(text), std::move(next), 0});
  };
  switch (job.stage) {
    case Stage::kGathering:
      return waits("not all of its nodes have reported: " + Away(job));
    case Stage::kPreparing:
      return waits(
          (job.start.restore_job != 0 ? "it is being restored: " : "it is being started: ") +
          NotIn(job, v1::PHASE_READY) + " are not ready");
    case Stage::kStarting:
      return waits("it is being let go on: " + NotIn(job, v1::PHASE_RUNNING));
    case Stage::kRunning:
    case Stage::kPrecopying:
      break;
    case Stage::kFreezing:
      return waits("it is frozen, and being saved: " + NotIn(job, v1::PHASE_PREPARED));
    case Stage::kCommitting:
      return waits("it is frozen, and its checkpoint is being made valid");
    case Stage::kSettling:
      return waits("its pods are told how to go on: " + NotIn(job, v1::PHASE_RUNNING));
    case Stage::kLeaving:
    case Stage::kWaiting:
      return ExplainQueue(job, all);
    case Stage::kEnding:
      return waits("it ends, and Slurm is cleaning up");
    case Stage::kHeld:
    case Stage::kEnded:
      return;
  }
  if (job.suspended)
    waits("Slurm has suspended it", "ask who suspended it: only operators can resume it");
  else if (job.start.suspicion)
    waits("something may be wrong with it, and Slurm is being asked: " + job.start.suspicion->why);
  else if (!job.all_connected())
    waits("nothing is heard of " + Away(job));
  else if (job.stage == Stage::kPrecopying)
    waits("it runs while its memory is being stored, before it is frozen");
}

void ExplainEnded(const Job& job, const History& history, std::vector<Explanation>& all) {
  if (job.stage != Stage::kEnded) return;
  const TimelineEvent* ended = Find(history, {"ended"});
  const TimelineEvent* refused = Find(history, {"refused", "not-started-over"});
  Explanation& how = all.emplace_back(
      Explanation{"ended", "ended", "it has ended", "", ended != nullptr ? ended->unix_ns : 0});
  if (ended != nullptr) how.text += " (" + ended->detail + ")";
  if (refused != nullptr) how.text += ": " + refused->detail;
  if (!job.aftermath.ended_well && job.newest() != 0 && !job.aftermath.removed)
    how.next = fmt::format("sbatch --restore-from={} starts a new job from checkpoint {}", job.id,
                           job.newest());
}

}  // namespace

std::string RemedyIn(const std::string& message) {
  const Span remedy = FindRemedy(message);
  return message.substr(remedy.text, remedy.end - remedy.text);
}

std::string WithoutRemedy(const std::string& message) {
  const Span remedy = FindRemedy(message);
  return message.substr(0, remedy.begin) + message.substr(remedy.end);
}

std::string RemedyFirst(const std::string& message, Code code) {
  const Span line = FindLine(message);
  std::string remedy = message.substr(line.text, line.end - line.text);
  if (remedy.empty()) remedy = Advice(code);
  if (remedy.empty()) return message;
  const std::string rest = message.substr(0, line.begin) + message.substr(line.end);
  const size_t end = std::min(rest.find('\n'), rest.size());
  return rest.substr(0, end) + kInline.data() + remedy + rest.substr(end);
}

std::string Obstacle::Text() const {
  return next.empty() ? what : fmt::format("{}{}{}", what, kInline, next);
}

std::optional<Obstacle> WhyNotNow(const Job& job) {
  switch (job.stage) {
    case Stage::kGathering:
    case Stage::kPreparing:
      return Obstacle{"it has not started yet", "save it when it runs"};
    case Stage::kStarting:
      return Obstacle{"it is only just starting", "try again in a moment"};
    case Stage::kRunning:
      if (job.suspended)
        return Obstacle{"Slurm has suspended it", "save it when Slurm lets it go on"};
      if (job.can_save()) return std::nullopt;
      return Obstacle{job.all_connected() ? "not all of its pods are ready"
                                          : "nothing is heard of " + Away(job),
                      "try again in a moment"};
    case Stage::kPrecopying:
    case Stage::kFreezing:
    case Stage::kCommitting:
    case Stage::kSettling:
      return Obstacle{InProgress(job), Show(job) + " follows it"};
    case Stage::kLeaving:
    case Stage::kWaiting:
      return Obstacle{"it is on its way to other nodes", "save it when it runs again"};
    case Stage::kHeld:
      return Obstacle{"it is held, and nothing of it runs",
                      fmt::format("holdfast resume {}", job.id)};
    case Stage::kEnding:
    case Stage::kEnded:
      return Obstacle{"it has ended", ""};
  }
  return std::nullopt;
}

std::vector<Explanation> Explain(const Job& job, const History& history) {
  std::vector<Explanation> all;
  ExplainSaved(job, history, all);
  ExplainMoved(job, history, all);
  ExplainHeld(job, history, all);
  ExplainWaits(job, all);
  ExplainEnded(job, history, all);
  return all;
}

}  // namespace holdfast::coordinator
