// What the coordinator must still know after it was killed: its intention for every job, and their
// history for people. SQLite; the tables are described in docs/formats/journal.md.
//
// Storage, not the journal, is the truth about what has been committed. Written by the journal's
// writer (journal_writer.h), read by it and when the controller starts; thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "coordinator/event.h"
#include "coordinator/job.h"

struct sqlite3;

namespace holdfast::coordinator {

// Of each job so many points of its timeline, checkpoints and moves are remembered, the newest.
inline constexpr unsigned kHistoryKept = 1000;

// A SaveCheckpoint, SaveMove, TimelineEvent or Count of a job.
struct HistoryItem {
  uint32_t job_id;
  Action action;
};

// What one transaction writes, in this order.
struct JournalBatch {
  std::set<uint32_t> forgotten;  // other jobs have got these ids
  std::deque<HistoryItem> history;
  std::map<uint32_t, Durable> jobs;

  bool empty() const { return forgotten.empty() && jobs.empty() && history.empty(); }
};

class Journal {
 public:
  // Opens or creates. A journal of a newer version is refused with kUnsupported.
  static Result<std::unique_ptr<Journal>> Open(const std::string& path);
  ~Journal();

  // Makes all of it durable, or nothing.
  Status Write(const JournalBatch& batch);

  // Every job that is remembered, as it was last written. Rows that cannot be read are set aside.
  Result<std::vector<Job>> Load();
  // Jobs whose row was set aside, with what is wrong, until they are written anew: something is
  // known of them, if not what.
  Result<std::map<uint32_t, std::string>> Unreadable();

  Result<std::vector<Checkpoint>> Checkpoints(uint32_t job_id);
  Result<std::vector<Move>> Moves(uint32_t job_id);
  // The newest `limit` points of the timeline, oldest first.
  Result<std::vector<TimelineEvent>> Events(uint32_t job_id, unsigned limit);

  // Points of all jobs' timelines, after that number, at most `limit`.
  Result<std::vector<NumberedEvent>> EventsAfter(int64_t number, unsigned limit);
  // The number of the newest one, or 0.
  Result<int64_t> LastEvent();

  // Of all jobs so far.
  Result<Interruptions> Interrupted();
  // The first job ever written, or 0. Job ids rise: one above it that is unknown has never been
  // here. The highest number there is if that cannot be said of any, because a process ended while
  // it could not write (SetBehind).
  Result<uint32_t> FirstJob();
  // Forgets jobs that ended before then and have nothing in storage any more.
  Status Prune(int64_t ended_before_ns);

  // Jobs have gone on without being written. Noted beside the database, by a file without
  // contents, for which a full disk has room.
  Status SetBehind(bool behind);

 private:
  Journal(sqlite3* database, std::string path) : database_(database), path_(std::move(path)) {}
  Status WriteAll(const JournalBatch& batch);
  Status WriteJob(const Durable& job);
  Status WriteCheckpoint(uint32_t job_id, const Checkpoint& checkpoint);
  Status WriteHistory(uint32_t job_id, const Action& action);
  Status WriteEvent(uint32_t job_id, const TimelineEvent& event);
  Status Forget(uint32_t job_id);
  Status SetAside(uint32_t job_id, const std::string& why);
  Status NoteGap();
  std::string behind_path() const { return path_ + ".behind"; }
  template <typename T>
  Result<std::vector<T>> ReadHistory(const char* sql, uint32_t job_id,
                                     Result<T> (*parse)(std::string_view));

  std::mutex mutex_;
  sqlite3* database_;
  const std::string path_;
  bool gap_ = false;                         // the process before this one ended behind
  std::map<uint32_t, std::string> unmoved_;  // rows that should have been set aside
  std::map<uint32_t, unsigned> untrimmed_;   // events added since the oldest were dropped, by job
};

}  // namespace holdfast::coordinator
