// Writes the journal, on a thread of its own. What a job's next decision rests on (its Durable
// half) is durable before anybody is told of it: the controller holds back what a step has to say
// until the step's ticket has been written. All that has changed meanwhile, of any number of jobs,
// is one transaction. History, which people read and nothing rests on, goes along with it, or by
// itself a moment later.
//
// A journal that cannot be written (a full disk) holds up nobody: wardens hold what matters, and
// storage is the truth. Everything is released, kept here, and tried again until it is written;
// health() says so meanwhile. What is lost if the process ends before that is in
// docs/formats/journal.md.
//
// Used by the controller; thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/journal.h"
#include "coordinator/metrics.h"

namespace holdfast::coordinator {

struct JournalHealth {
  std::string error;     // of the last attempt; empty: all is well
  int64_t since_ns = 0;  // unix time of the first that failed
  size_t jobs = 0;       // that have gone on without being written
  size_t history = 0;    // items of it that wait
  uint64_t dropped = 0;  // and that there was no room for, so far
};

class JournalWriter {
 public:
  // Rises with every change of a job; 0: nothing to wait for.
  using Ticket = uint64_t;
  struct Options {
    std::chrono::milliseconds history_pause{1000};
    std::chrono::milliseconds retry_pause{1000};
  };

  // `written` is called from the writer's thread: up to that ticket nothing is to be waited for.
  // Journal and metrics must outlive this.
  JournalWriter(Options options, Journal& journal, Metrics& metrics,
                std::function<void(Ticket)> written);
  ~JournalWriter() { Stop(); }

  // The job is in the journal as it is.
  void Know(const Durable& job);
  // A step of the job. Returns what its messages have to wait for.
  Ticket Note(const Job& job, const std::vector<Action>& actions);
  // One more item of its history.
  void Add(uint32_t job_id, Action action);
  // Another job has got this id.
  void Forget(uint32_t job_id);
  // Writes what is left, or tries to, and ends the thread. `written` is not called any more.
  void Stop();

  JournalHealth health();
  // What is in the journal, and what has yet to be written; of the timeline the newest `limit`
  // points.
  Result<History> HistoryOf(uint32_t job_id, unsigned limit);

 private:
  struct Known {
    Durable job;
    Ticket ticket = 0;  // of its last change, if that is not written
  };
  struct Pending {
    std::set<uint32_t> forgotten;
    std::set<uint32_t> jobs;  // as they are in known_
    std::deque<HistoryItem> history;

    bool empty() const { return forgotten.empty() && jobs.empty() && history.empty(); }
  };

  void Run();
  Status Write(const JournalBatch& batch);
  // With the mutex held.
  bool IsDue(std::chrono::steady_clock::time_point now) const;
  void Remember(HistoryItem item);
  JournalBatch Take();
  void PutBack(JournalBatch batch);
  void Conclude(JournalBatch batch, Ticket ticket, const Status& status);
  // Without it.
  void SetBehind(bool behind, const Status& why);

  const Options options_;
  Journal& journal_;
  Metrics& metrics_;
  const std::function<void(Ticket)> written_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint32_t, Known> known_;
  Pending pending_;
  std::deque<HistoryItem> writing_;  // history, in a transaction under way
  Ticket last_ticket_ = 0;
  Ticket done_ = 0;
  std::chrono::steady_clock::time_point due_;  // when history is to be written, or tried again
  JournalHealth health_;
  bool behind_ = false;                // the journal says so; of the thread alone
  std::atomic<uint64_t> dropped_ = 0;  // history that there was no room for
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace holdfast::coordinator
