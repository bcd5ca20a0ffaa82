// What the coordinator counts, for Prometheus: docs/operations/monitoring.md. Sums over all jobs;
// no name of a user, a job or a node is in it, so that anybody may be shown it.
//
// A figure is a line of the table in metrics.cc. It is fed where all of its kind pass: what becomes
// of jobs in Note, from the same actions that the journal keeps; requests to Slurm in
// timed_slurm.h, transactions in journal_writer.cc, requests of people in rest_server.cc; what
// there is at the moment is Set by whoever has it when somebody asks (Controller::Measure).
// Thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/event.h"

namespace holdfast::coordinator {

enum class Metric : size_t {
  kBuild,
  kJobs,
  kWardens,
  kCheckpoints,
  kFrozen,
  kSafe,
  kData,
  kStored,
  kNotices,
  kEvacuations,
  kStarts,
  kRestores,
  kRestore,
  kPagesIn,
  kMove,
  kPending,
  kHolds,
  kStartedOver,
  kInterruptions,
  kNodeTime,
  kSlurm,
  kSlurmFailures,
  kSlurmWaiting,
  kStepsWaiting,
  kJournal,
  kJournalFailures,
  kJournalHealthy,
  kJournalWaiting,
  kHistoryDropped,
  kRequests,
  kRequestsWaiting,
  kStartTime,
  kMemory,
  kOpenFiles,
  kMaxFiles,
  kCount,  // of them
};

class Metrics {
 public:
  // Values of a metric's labels, in the table's order.
  using Labels = std::initializer_list<std::string_view>;

  // What a step of a job led to, or one more item of its history.
  void Note(const Action& action);

  void Add(Metric counter, Labels labels = {}, double amount = 1);
  void Set(Metric metric, double value, Labels labels = {});
  void Observe(Metric histogram, std::chrono::duration<double> duration, Labels labels = {});

  // In the text format 0.0.4 of Prometheus; a figure that nothing has been said of yet is 0, or,
  // if it has labels, not there.
  std::string Text() const;
  // docs/operations/metrics.md.
  static std::string Reference();

 private:
  struct Series {
    double value = 0;  // of a histogram: the sum
    std::vector<uint64_t> buckets;
    uint64_t count = 0;
  };
  using Key = std::vector<std::string>;

  // With the mutex held.
  Series& At(Metric metric, Labels labels);
  void NoteCheckpoint(const Checkpoint& checkpoint);
  void NoteMove(const Move& move);
  void NoteEvent(const TimelineEvent& event);

  mutable std::mutex mutex_;
  std::array<std::map<Key, Series>, static_cast<size_t>(Metric::kCount)> series_;
};

}  // namespace holdfast::coordinator
