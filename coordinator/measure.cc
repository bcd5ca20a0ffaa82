// The controller's figures of the moment; what is counted, Metrics::Note counts.
#include <map>
#include <string>

#include "coordinator/controller.h"

namespace holdfast::coordinator {

void Controller::Measure() {
  std::map<std::string, size_t> states{{"restoring", 0}, {"suspended", 0}};
  for (int stage = 0; stage <= static_cast<int>(Stage::kPrecopying); ++stage)
    states[StageName(static_cast<Stage>(stage))] = 0;
  const JournalHealth journal = journal_health();
  const std::lock_guard lock(mutex_);
  for (const auto& [job_id, job] : jobs_) ++states[StateOf(job)];
  const auto set = [this](Metric metric, auto value, Metrics::Labels labels = {}) {
    metrics_.Set(metric, static_cast<double>(value), labels);
  };
  for (const auto& [state, count] : states) set(Metric::kJobs, count, {state});
  const auto waiting = lanes_.Waiting();
  for (size_t lane = 0; lane < waiting.size(); ++lane)
    set(Metric::kSlurmWaiting, waiting.at(lane), {LaneName(static_cast<Lane>(lane))});
  set(Metric::kWardens, links_.size());
  set(Metric::kStepsWaiting, unsaid_.size());
  set(Metric::kInterruptions, policy_.interruptions.count);
  set(Metric::kNodeTime, policy_.interruptions.node_time.count());
  set(Metric::kJournalHealthy, journal.error.empty() ? 1 : 0);
  set(Metric::kJournalWaiting, journal.jobs, {"jobs"});
  set(Metric::kJournalWaiting, journal.history, {"history"});
  set(Metric::kHistoryDropped, journal.dropped);
}

}  // namespace holdfast::coordinator
