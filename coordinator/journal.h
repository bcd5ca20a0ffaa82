// What the coordinator must still know after it was killed: its intention for every job, and their
// history for people. SQLite; the tables are described in docs/formats/journal.md.
//
// Storage, not the journal, is the truth about what has been committed. Used by the controller
// under its mutex, and by REST threads for reading; thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "coordinator/event.h"
#include "coordinator/job.h"

struct sqlite3;

namespace holdfast::coordinator {

class Journal {
 public:
  // Opens or creates. A journal of a newer version is refused with kUnsupported.
  static Result<std::unique_ptr<Journal>> Open(const std::string& path);
  ~Journal();

  // Makes the job, and what the actions add to its history, durable: all of it or nothing. Costs
  // nothing when there is nothing new.
  Status Write(const Job& job, const std::vector<Action>& actions);
  // Every job that is remembered, as it was last written. Rows that cannot be read are set aside.
  Result<std::vector<Job>> Load();
  // Jobs whose row was set aside, with what is wrong, until they are written anew: something is
  // known of them, if not what.
  Result<std::map<uint32_t, std::string>> Unreadable();

  Result<std::vector<Checkpoint>> Checkpoints(uint32_t job_id);
  Result<std::vector<Move>> Moves(uint32_t job_id);
  // The newest `limit` points of the timeline, oldest first.
  Result<std::vector<TimelineEvent>> Events(uint32_t job_id, unsigned limit);
  // Empty if the job is unknown.
  Result<std::vector<std::string>> HostnamesOf(uint32_t job_id);

  // Of all jobs so far.
  Result<Interruptions> Interrupted();
  // The first job ever written, or 0. Job ids rise: one above it that is unknown has never been
  // here.
  Result<uint32_t> FirstJob();
  // Another job has got this id.
  Status Forget(uint32_t job_id);
  // Forgets jobs that ended before then and have nothing in storage any more.
  Status Prune(int64_t ended_before_ns);

 private:
  explicit Journal(sqlite3* database) : database_(database) {}
  Status WriteJob(const Job& job, const std::string& bytes);
  Status WriteCheckpoint(uint32_t job_id, const Checkpoint& checkpoint);
  Status WriteHistory(uint32_t job_id, const std::vector<Action>& actions);
  Status SetAside(uint32_t job_id, const std::string& why);
  template <typename T>
  Result<std::vector<T>> ReadHistory(const char* sql, uint32_t job_id,
                                     Result<T> (*parse)(std::string_view));

  std::mutex mutex_;
  sqlite3* database_;
  // Each job's row as it was last written, so that nothing is written twice.
  std::map<uint32_t, std::string> written_;
};

}  // namespace holdfast::coordinator
