#include "coordinator/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace holdfast::coordinator {
namespace {

using std::chrono::nanoseconds;

// In seconds.
constexpr double kShort[] = {0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};
constexpr double kLong[] = {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
constexpr double kWaits[] = {1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600};

enum class Type { kCounter, kGauge, kHistogram };

constexpr size_t kMetrics = static_cast<size_t>(Metric::kCount);
constexpr const char* kTypeNames[] = {"counter", "gauge", "histogram"};

struct Family {
  Metric metric;
  const char* name;
  Type type;
  std::array<std::string_view, 2> labels;  // empty: none
  const char* help;
  std::span<const double> buckets = {};  // of a histogram: upper bounds
};

// Names are stable: dashboards and alerts go by them.
using enum Type;
constexpr std::array<Family, kMetrics> kFamilies{{
    {Metric::kBuild,
     "holdfast_build_info",
     kGauge,
     {"version", "protocol"},
     "1; which coordinator this is."},
    {Metric::kJobs,
     "holdfast_jobs",
     kGauge,
     {"state"},
     "Jobs that the coordinator knows, by state, as `holdfast list` shows it."},
    {Metric::kWardens, "holdfast_wardens", kGauge, {}, "Pods whose wardens are connected."},
    {Metric::kCheckpoints,
     "holdfast_checkpoints_total",
     kCounter,
     {"reason", "outcome"},
     "Checkpoints by what they were made for; `outcome` is `committed`, or why there is none "
     "(the code of the error)."},
    {Metric::kFrozen,
     "holdfast_checkpoint_frozen_seconds",
     kHistogram,
     {},
     "How long a committed checkpoint's pods were frozen until they were saved, the longest of "
     "each job.",
     kLong},
    {Metric::kSafe,
     "holdfast_checkpoint_safe_seconds",
     kHistogram,
     {"reason"},
     "Time to safe: from what a committed checkpoint was made for, say a notice, to its commit.",
     kLong},
    {Metric::kData,
     "holdfast_checkpoint_data_bytes_total",
     kCounter,
     {},
     "Memory and files that committed checkpoints hold."},
    {Metric::kStored,
     "holdfast_checkpoint_stored_bytes_total",
     kCounter,
     {},
     "Of these, bytes that had to be written anew, after deduplication and compression."},
    {Metric::kNotices,
     "holdfast_notices_total",
     kCounter,
     {"reason"},
     "Notices that a running job is about to lose nodes, and for which it was saved."},
    {Metric::kEvacuations,
     "holdfast_evacuations_total",
     kCounter,
     {"reason"},
     "Nodes that were to be emptied: the cloud takes them back (`spot`), or somebody drained "
     "them (`evacuate`)."},
    {Metric::kStarts,
     "holdfast_starts_total",
     kCounter,
     {"outcome"},
     "Starts that restored nothing; `outcome` is `ready`, or the code of the error."},
    {Metric::kRestores,
     "holdfast_restores_total",
     kCounter,
     {"outcome"},
     "Restores of a job; `outcome` is `ready`, or the code of the error."},
    {Metric::kRestore,
     "holdfast_restore_seconds",
     kHistogram,
     {},
     "From all nodes' being there to the job's being ready to run, of jobs that moved.",
     kLong},
    {Metric::kPagesIn,
     "holdfast_pages_in_seconds",
     kHistogram,
     {},
     "From a pod's restore until none of its memory was missing any more.",
     kLong},
    {Metric::kMove,
     "holdfast_move_seconds",
     kHistogram,
     {"reason"},
     "From leaving its nodes to running again, of jobs that moved, by why they left.",
     kWaits},
    {Metric::kPending,
     "holdfast_move_pending_seconds",
     kHistogram,
     {},
     "Of that, how long the job was pending in Slurm.",
     kWaits},
    {Metric::kHolds,
     "holdfast_jobs_held_total",
     kCounter,
     {},
     "Jobs that were held because they could not go on."},
    {Metric::kStartedOver,
     "holdfast_jobs_started_over_total",
     kCounter,
     {},
     "Jobs that were requeued before they could be saved, and started over."},
    {Metric::kInterruptions,
     "holdfast_interruptions_total",
     kCounter,
     {},
     "Jobs that were preempted, had a node taken back or lost one; the journal keeps it."},
    {Metric::kNodeTime,
     "holdfast_node_seconds_total",
     kCounter,
     {},
     "How long checkpointed jobs have run, each on each of its nodes; the journal keeps it."},
    {Metric::kSlurm,
     "holdfast_slurm_request_seconds",
     kHistogram,
     {"request"},
     "How long Slurm took to answer.",
     kShort},
    {Metric::kSlurmFailures,
     "holdfast_slurm_request_failures_total",
     kCounter,
     {"request", "code"},
     "Requests to Slurm that failed, by the code of the error."},
    {Metric::kSlurmWaiting,
     "holdfast_slurm_requests_waiting",
     kGauge,
     {"lane"},
     "Requests to Slurm that wait for those before them, by how urgent they are."},
    {Metric::kStepsWaiting,
     "holdfast_steps_waiting",
     kGauge,
     {},
     "Steps of jobs of which nobody has been told yet, because the journal is being written."},
    {Metric::kJournal,
     "holdfast_journal_write_seconds",
     kHistogram,
     {},
     "How long a transaction of the journal took.",
     kShort},
    {Metric::kJournalFailures,
     "holdfast_journal_write_failures_total",
     kCounter,
     {},
     "Transactions of the journal that failed, and are tried again."},
    {Metric::kJournalHealthy,
     "holdfast_journal_healthy",
     kGauge,
     {},
     "0 while the journal cannot be written."},
    {Metric::kJournalWaiting,
     "holdfast_journal_waiting",
     kGauge,
     {"what"},
     "What has yet to be written: jobs, and items of their history."},
    {Metric::kHistoryDropped,
     "holdfast_journal_history_dropped_total",
     kCounter,
     {},
     "Items of jobs' history that were lost for want of room while the journal could not be "
     "written."},
    {Metric::kRequests,
     "holdfast_rest_requests_total",
     kCounter,
     {"status"},
     "Answers of the REST API, by HTTP status."},
    {Metric::kRequestsWaiting,
     "holdfast_rest_requests_waiting",
     kGauge,
     {},
     "Requests to the REST API that wait for a thread."},
    {Metric::kStartTime,
     "process_start_time_seconds",
     kGauge,
     {},
     "When the coordinator started, as unix time; counters begin at 0 then."},
    {Metric::kMemory, "process_resident_memory_bytes", kGauge, {}, "Its memory."},
    {Metric::kOpenFiles, "process_open_fds", kGauge, {}, "Its descriptors; each warden has one."},
    {Metric::kMaxFiles, "process_max_fds", kGauge, {}, "How many it may have."},
}};

constexpr bool EachIsInItsPlace() {
  for (size_t i = 0; i < kMetrics; ++i)
    if (kFamilies[i].metric != static_cast<Metric>(i)) return false;
  return true;
}
static_assert(EachIsInItsPlace());

const Family& Of(Metric metric) { return kFamilies[static_cast<size_t>(metric)]; }

std::string Escaped(std::string_view value) {
  std::string escaped;
  for (const char c : value) {
    if (c == '\\' || c == '"') escaped += '\\';
    escaped += c == '\n' ? "\\n" : std::string(1, c);
  }
  return escaped;
}

// "{state="running",le="1"}"; nothing if there is no label.
std::string LabelText(const Family& family, const std::vector<std::string>& values,
                      const std::string& bound = "") {
  std::string text;
  for (size_t i = 0; i < values.size(); ++i)
    text +=
        fmt::format("{}{}=\"{}\"", text.empty() ? "" : ",", family.labels[i], Escaped(values[i]));
  if (!bound.empty()) text += fmt::format("{}le=\"{}\"", text.empty() ? "" : ",", bound);
  return text.empty() ? "" : "{" + text + "}";
}

// What is counted of it, if that has just been settled: it is said again when its pods have
// settled.
bool IsDone(const Checkpoint& checkpoint) {
  return checkpoint.settled_ns == 0 && (checkpoint.committed_ns != 0 || !checkpoint.error.empty());
}

}  // namespace

Metrics::Series& Metrics::At(Metric metric, Labels labels) {
  Series& series = series_[static_cast<size_t>(metric)][Key(labels.begin(), labels.end())];
  series.buckets.resize(Of(metric).buckets.size());
  return series;
}

void Metrics::Add(Metric counter, Labels labels, double amount) {
  const std::lock_guard lock(mutex_);
  At(counter, labels).value += amount;
}

void Metrics::Set(Metric metric, double value, Labels labels) {
  const std::lock_guard lock(mutex_);
  At(metric, labels).value = value;
}

void Metrics::Observe(Metric histogram, std::chrono::duration<double> duration, Labels labels) {
  const std::lock_guard lock(mutex_);
  Series& series = At(histogram, labels);
  const auto bounds = Of(histogram).buckets;
  const auto bucket =
      static_cast<size_t>(std::ranges::lower_bound(bounds, duration.count()) - bounds.begin());
  if (bucket < bounds.size()) ++series.buckets[bucket];
  ++series.count;
  series.value += duration.count();
}

void Metrics::Note(const Action& action) {
  if (const auto* save = std::get_if<SaveCheckpoint>(&action))
    return NoteCheckpoint(save->checkpoint);
  if (const auto* save = std::get_if<SaveMove>(&action)) return NoteMove(save->move);
  if (const auto* event = std::get_if<TimelineEvent>(&action)) return NoteEvent(*event);
  if (const auto* start = std::get_if<StartResult>(&action))
    Add(start->restore ? Metric::kRestores : Metric::kStarts,
        {start->failure ? CodeName(*start->failure) : "ready"});
}

void Metrics::NoteCheckpoint(const Checkpoint& checkpoint) {
  if (!IsDone(checkpoint)) return;
  const char* reason = ReasonName(checkpoint.reason);
  if (checkpoint.committed_ns == 0) return Add(Metric::kCheckpoints, {reason, checkpoint.code});
  Add(Metric::kCheckpoints, {reason, "committed"});
  Observe(Metric::kFrozen, nanoseconds(checkpoint.frozen_ns));
  Observe(Metric::kSafe, nanoseconds(checkpoint.committed_ns - checkpoint.begun_ns), {reason});
  Add(Metric::kData, {}, static_cast<double>(checkpoint.raw_bytes));
  Add(Metric::kStored, {}, static_cast<double>(checkpoint.stored_bytes));
}

void Metrics::NoteMove(const Move& move) {
  if (move.running_ns == 0) return;
  Observe(Metric::kMove, nanoseconds(move.running_ns - move.left_ns), {ReasonName(move.reason)});
  if (move.requeued_ns != 0 && move.chosen_ns != 0)
    Observe(Metric::kPending, nanoseconds(move.chosen_ns - move.requeued_ns));
  if (move.checkpoint != 0 && move.chosen_ns != 0 && move.restored_ns != 0)
    Observe(Metric::kRestore, nanoseconds(move.restored_ns - move.chosen_ns));
}

void Metrics::NoteEvent(const TimelineEvent& event) {
  if (event.name == "notice") Add(Metric::kNotices, {event.detail});
  if (event.name == "held") Add(Metric::kHolds);
  if (event.name == "starts-over") Add(Metric::kStartedOver);
  if (event.name == "pages-in") Observe(Metric::kPagesIn, nanoseconds(event.duration_ns));
}

std::string Metrics::Text() const {
  const std::lock_guard lock(mutex_);
  static const std::map<Key, Series> kNothing{{Key(), Series()}};
  std::string text;
  for (const Family& family : kFamilies) {
    const auto& known = series_[static_cast<size_t>(family.metric)];
    text += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", family.name, family.help,
                        kTypeNames[static_cast<size_t>(family.type)]);
    for (const auto& [values, series] :
         known.empty() && family.labels[0].empty() ? kNothing : known) {
      const std::string labels = LabelText(family, values);
      if (family.type != Type::kHistogram) {
        text += fmt::format("{}{} {}\n", family.name, labels, series.value);
        continue;
      }
      uint64_t sum = 0;
      for (size_t i = 0; i < family.buckets.size(); ++i) {
        sum += series.buckets.empty() ? 0 : series.buckets[i];
        text += fmt::format("{}_bucket{} {}\n", family.name,
                            LabelText(family, values, fmt::format("{}", family.buckets[i])), sum);
      }
      text += fmt::format("{0}_bucket{1} {2}\n{0}_sum{3} {4}\n{0}_count{3} {2}\n", family.name,
                          LabelText(family, values, "+Inf"), series.count, labels, series.value);
    }
  }
  return text;
}

std::string Metrics::Reference() {
  std::string text =
      "# Figures for Prometheus\n\n"
      "Generated from the table of `coordinator/metrics.cc`; the target `metrics_reference` writes "
      "it "
      "anew. What to do with them: [monitoring](monitoring.md).\n\n"
      "| name | type | labels | |\n|---|---|---|---|\n";
  for (const Family& family : kFamilies)
    text += fmt::format(
        "| `{}` | {} | {} | {} |\n", family.name, kTypeNames[static_cast<size_t>(family.type)],
        family.labels[1].empty() ? std::string(family.labels[0])
                                 : fmt::format("{}, {}", family.labels[0], family.labels[1]),
        family.help);
  return text;
}

}  // namespace holdfast::coordinator
