#include "coordinator/rest_json.h"

#include <algorithm>
#include <cmath>

#include "coordinator/why.h"

namespace holdfast::coordinator {
namespace {

using nlohmann::json;

// Absent rather than 0 for what has not happened.
json TimeOrNull(int64_t unix_ns) { return unix_ns == 0 ? json(nullptr) : json(unix_ns); }
json SpanOrNull(int64_t from_ns, int64_t to_ns) {
  return from_ns == 0 || to_ns == 0 ? json(nullptr) : json(to_ns - from_ns);
}

bool IsUnderWay(const Checkpoint& checkpoint, const Job& job) {
  return checkpoint.committed_ns == 0 && job.checkpoint &&
         job.checkpoint->number == checkpoint.number;
}

// How far it is; null: it is over, or has been committed.
json ProgressOf(const Checkpoint& checkpoint, const Job& job) {
  if (!IsUnderWay(checkpoint, job)) return nullptr;
  return {{"stage", StateOf(job)},
          {"pods", job.pods.size()},
          {"pods_saved",
           std::ranges::count_if(job.pods, [](const Pod& pod) { return pod.part.has_value(); })}};
}

const char* StateOf(const Checkpoint& checkpoint, const Job& job) {
  if (checkpoint.committed_ns == 0) {
    return IsUnderWay(checkpoint, job) ? "in-progress" : "failed";
  }
  if (std::ranges::contains(job.unwanted, checkpoint.number)) return "removing";
  if (std::ranges::contains(job.bad, checkpoint.number)) return "damaged";
  return std::ranges::contains(job.saved, checkpoint.number) ? "committed" : "removed";
}

json ToJson(const Move& move) {
  return {{"number", move.number},
          {"reason", ReasonName(move.reason)},
          {"checkpoint", move.checkpoint},
          {"from", move.from},
          {"to", move.to},
          {"left_unix_ns", TimeOrNull(move.left_ns)},
          {"requeue_ns", SpanOrNull(move.left_ns, move.requeued_ns)},
          {"pending_ns", SpanOrNull(move.requeued_ns, move.chosen_ns)},
          {"restore_ns", SpanOrNull(move.chosen_ns, move.restored_ns)},
          {"total_ns", SpanOrNull(move.left_ns, move.running_ns)}};
}

json DurationOrNull(Seconds duration) {
  const bool shown = duration.count() > 0 && duration.count() < 1e9;
  return shown ? json(std::chrono::round<std::chrono::nanoseconds>(duration).count())
               : json(nullptr);
}

// Between two saves of it.
Seconds LongestRan(const Plan& plan) {
  return plan.interval.count() > 0 ? plan.interval : kForever;
}

// How long its saves take, and how long Slurm leaves it; null: not known.
json TimesOf(const Job& job) {
  const Plan& plan = job.plan;
  const TimeToSafe& to_safe = plan.to_safe;
  return {{"notice_ns", DurationOrNull(plan.notice)},
          {"notice_suffices", to_safe.known ? json(plan.notice_suffices()) : json(nullptr)},
          {"to_safe_longest_ns",
           to_safe.known ? DurationOrNull(to_safe.After(LongestRan(plan))) : json(nullptr)}};
}

json PlanOf(const Job& job, int64_t now_ns) {
  const Plan& plan = job.plan;
  const TimeToSafe& to_safe = plan.to_safe;
  // Since when it has not been saved may have been lost with the coordinator's memory.
  const Seconds ran = job.unsaved_ns == 0
                          ? LongestRan(plan)
                          : Seconds(std::chrono::nanoseconds(now_ns - job.unsaved_ns));
  json shown = TimesOf(job);
  shown.update(
      {{"interval_seconds", std::lround(plan.interval.count())},
       {"basis", BasisName(plan.basis)},
       {"why", plan.Why()},
       {"checkpoint_cost_ns", DurationOrNull(plan.cost)},
       {"interruption_every_ns", DurationOrNull(plan.between_interruptions)},
       {"to_safe_ns", to_safe.known ? DurationOrNull(to_safe.After(ran)) : json(nullptr)}});
  return shown;
}

// Null for a job that may run as long as it likes, as far as is known.
json TimeLimitOf(const Job& job) {
  const bool known = IsActive(job.stage) && job.limit.end_time != 0;
  if (!known && !job.options.renewals && job.renewals == 0) return nullptr;
  const uint32_t most = job.options.renewals.value_or(0);
  return {{"end_unix_ns", known ? json(job.limit.end_time * 1'000'000'000) : json(nullptr)},
          {"save_unix_ns", known ? TimeOrNull(job.limit.save_ns) : json(nullptr)},
          {"renewals", job.renewals},
          {"renewals_most", most == kWithoutEnd ? json(nullptr) : json(most)}};
}

std::string TextOf(const JobOptions& options, std::string_view name) {
  return FindOption(name)->format(options).value_or("");
}

// Each option that was given as it is written to sbatch; and those of version 1 by other names too.
json ToJson(const JobOptions& options) {
  const Interval interval = options.interval.value_or(Interval{});
  json shown = {{"interval_seconds", interval.every.count()},
                {"auto_interval", interval.automatic},
                {"directory", options.directory},
                {"keep", options.keep.value_or(0)},
                {"restore_from", TextOf(options, "restore-from")},
                {"files", TextOf(options, "checkpoint-files")},
                {"rollback", TextOf(options, "checkpoint-rollback")}};
  for (const JobOption& option : JobOptionTable())
    if (const auto text = option.format(options)) shown[option.name] = *text;
  return shown;
}

}  // namespace

json ToJson(const TimelineEvent& event) {
  return {{"name", event.name},
          {"unix_ns", event.unix_ns},
          {"duration_ns", event.duration_ns},
          {"pod", event.pod < 0 ? json(nullptr) : json(event.pod)},
          {"node", event.node},
          {"detail", event.detail},
          {"checkpoint", event.checkpoint}};
}

json ToJson(const Checkpoint& checkpoint, const Job& job) {
  return {{"number", checkpoint.number},
          {"state", StateOf(checkpoint, job)},
          {"reason", ReasonName(checkpoint.reason)},
          {"progress", ProgressOf(checkpoint, job)},
          {"stop", checkpoint.stop},
          {"begun_unix_ns", TimeOrNull(checkpoint.begun_ns)},
          {"committed_unix_ns", TimeOrNull(checkpoint.committed_ns)},
          {"commit_ns", SpanOrNull(checkpoint.begun_ns, checkpoint.committed_ns)},
          {"total_ns", SpanOrNull(checkpoint.begun_ns, checkpoint.settled_ns)},
          {"frozen_ns", checkpoint.frozen_ns},
          {"raw_bytes", checkpoint.raw_bytes},
          {"stored_bytes", checkpoint.stored_bytes},
          {"processes", checkpoint.processes},
          {"error", checkpoint.error},
          {"code", checkpoint.code}};
}

json Summary(const Job& job) {
  return {{"times", IsActive(job.stage) ? TimesOf(job) : json(nullptr)},
          {"job_id", job.id},
          {"array_job_id", job.array ? json(job.array->job) : json(nullptr)},
          {"array_task_id", job.array ? json(job.array->task) : json(nullptr)},
          {"cluster", job.cluster},
          {"submitted", job.submitted},
          {"uid", job.uid},
          {"account", job.account},
          {"partition", job.partition},
          {"slurm_state", job.slurm_state},
          {"state", StateOf(job)},
          {"restart_count", job.start.restart_count},
          {"nodes", IsActive(job.stage) ? job.nodes() : std::vector<std::string>{}},
          {"checkpoints", job.saved},
          {"restored_from", job.start.restore_checkpoint == 0 && job.start.restore_job == 0
                                ? json(nullptr)
                                : json{{"job_id", job.start.restore_job},
                                       {"checkpoint", job.start.restore_checkpoint}}},
          {"moves", job.moves},
          {"last_error", job.last_error}};
}

json Details(const Job& job, const History& history, int64_t now_ns) {
  json details = Summary(job);
  details["hostnames"] = job.hostnames;
  details["options"] = ToJson(job.options);
  details["requeue"] = job.requeue ? json(*job.requeue) : json(nullptr);
  // What is known of a start is planned when it begins to run.
  const bool planned = job.stage >= Stage::kRunning && IsActive(job.stage);
  details["plan"] = planned ? PlanOf(job, now_ns) : json(nullptr);
  details["time_limit"] = TimeLimitOf(job);
  details["excluded_nodes"] = job.exclusions.next;
  details["unfit_nodes"] = job.exclusions.unfit;
  details["checkpoints"] = json::array();
  for (const Checkpoint& checkpoint : history.checkpoints)
    details["checkpoints"].push_back(ToJson(checkpoint, job));
  details["moves"] = json::array();
  for (const Move& move : history.moves) details["moves"].push_back(ToJson(move));
  details["events"] = json::array();
  for (const TimelineEvent& event : history.events) details["events"].push_back(ToJson(event));
  details["why"] = json::array();
  for (const Explanation& each : Explain(job, history))
    details["why"].push_back({{"about", each.about},
                              {"reason", each.reason},
                              {"text", each.text},
                              {"next", each.next},
                              {"unix_ns", TimeOrNull(each.unix_ns)}});
  return details;
}

json ToProblem(const Refusal& refusal, const std::string& title) {
  return {
      {"type", "about:blank"},
      {"title", title},
      {"status", refusal.status},
      {"detail", refusal.message},
      {"code", refusal.code},
      {"next", refusal.next},
      {"error", {{"code", refusal.code}, {"message", refusal.message}, {"next", refusal.next}}}};
}

}  // namespace holdfast::coordinator
