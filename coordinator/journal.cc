#include "coordinator/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/log.h"
#include "base/unique_fd.h"
#include "coordinator/clock.h"
#include "coordinator/job_codec.h"
#include "coordinator/journal_tables.h"
#include "coordinator/journal_upgrade.h"
#include "coordinator/statement.h"

namespace holdfast::coordinator {
namespace {

// How many events may be there beyond kHistoryKept: dropping them one by one would cost more.
constexpr unsigned kUntrimmed = 100;

Result<int64_t> ReadNumber(sqlite3* database, const char* sql) {
  Statement statement(database, sql);
  HOLDFAST_TRY(const bool found, statement.Step());
  return found ? statement.Int() : 0;
}

TimelineEvent ReadEvent(Statement& rows) {
  TimelineEvent event;
  event.name = rows.Text();
  event.unix_ns = rows.Int();
  event.duration_ns = rows.Int();
  event.pod = static_cast<int32_t>(rows.Int());
  event.node = rows.Text();
  event.detail = rows.Text();
  event.checkpoint = rows.Uint();
  return event;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::Open(const std::string& path) {
  sqlite3* database = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  std::unique_ptr<Journal> journal(new Journal(database, path));
  if (code != SQLITE_OK)
    return Fail(Code::kDenied, fmt::format("opening the journal {}: {}; may this user write there?",
                                           path, sqlite3_errstr(code)));
  sqlite3_busy_timeout(database, 5000);
  // The log's blocks stay allocated and are written over: a disk that is full meanwhile does not
  // keep the next process from opening it.
  int persist = 1;
  sqlite3_file_control(database, "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
  // FULL: in WAL mode, NORMAL would lose the last transactions with the machine's power.
  HOLDFAST_CHECK(Execute(database, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"));
  HOLDFAST_TRY(const int64_t version, ReadNumber(database, "PRAGMA user_version"));
  if (version > kJournalVersion)
    return Fail(Code::kUnsupported,
                fmt::format("the journal {} has version {}, this program knows {}: it was written "
                            "by a newer Holdfast",
                            path, version, kJournalVersion));
  if (version == 0)
    HOLDFAST_CHECK(Execute(database, fmt::format("BEGIN; {} {} PRAGMA user_version={}; COMMIT;",
                                                 kUnchangedTables, kTables, kJournalVersion)
                                         .c_str()));
  else if (version < kJournalVersion)
    HOLDFAST_CHECK(UpgradeJournal(database, version));
  if (const Status noted = journal->NoteGap(); !noted) log::Failure("journal", noted.error());
  return journal;
}

Journal::~Journal() { sqlite3_close(database_); }

Status Journal::SetBehind(bool behind) {
  const std::string file = behind_path();
  if (!behind) return ::unlink(file.c_str()) == 0 || errno == ENOENT ? Status{} : FailErrno(file);
  const UniqueFd made(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!made.valid()) return FailErrno("creating " + file);
  return {};
}

// The process before this one ended while it was behind: any job that is unknown may have run.
Status Journal::NoteGap() {
  if (::access(behind_path().c_str(), F_OK) != 0) return {};
  gap_ = true;
  log::Warn("journal-behind", {{"path", path_}});
  HOLDFAST_CHECK(Statement(database_, "UPDATE meta SET first_job = ?").Bind(UINT32_MAX).Run());
  return SetBehind(false);
}

Status Journal::Write(const JournalBatch& batch) {
  const std::lock_guard lock(mutex_);
  HOLDFAST_CHECK(Execute(database_, "BEGIN IMMEDIATE"));
  Status written = WriteAll(batch);
  if (written) written = Execute(database_, "COMMIT");
  if (!written) sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
  return written;
}

Status Journal::WriteAll(const JournalBatch& batch) {
  for (const uint32_t job_id : batch.forgotten) HOLDFAST_CHECK(Forget(job_id));
  for (const auto& [job_id, action] : batch.history) HOLDFAST_CHECK(WriteHistory(job_id, action));
  for (const auto& [job_id, job] : batch.jobs) HOLDFAST_CHECK(WriteJob(job));
  return {};
}

Status Journal::WriteJob(const Durable& job) {
  HOLDFAST_CHECK(
      Statement(database_, "UPDATE meta SET first_job = ? WHERE first_job = 0").Bind(job.id).Run());
  HOLDFAST_CHECK(Statement(database_, "INSERT OR REPLACE INTO jobs VALUES (?,?,?)")
                     .Bind(job.id, NowNs(), Serialize(job))
                     .Run());
  // In flight, it changes without an action: a stop that came while it was being saved.
  return job.checkpoint ? WriteCheckpoint(job.id, *job.checkpoint) : Status{};
}

Status Journal::WriteCheckpoint(uint32_t job_id, const Checkpoint& checkpoint) {
  HOLDFAST_CHECK(Statement(database_, "INSERT OR REPLACE INTO checkpoints VALUES (?,?,?)")
                     .Bind(job_id, checkpoint.number, Serialize(checkpoint))
                     .Run());
  if (checkpoint.number <= kHistoryKept) return {};
  return Statement(database_, "DELETE FROM checkpoints WHERE job_id = ? AND number <= ?")
      .Bind(job_id, checkpoint.number - kHistoryKept)
      .Run();
}

Status Journal::WriteHistory(uint32_t job_id, const Action& action) {
  if (const auto* save = std::get_if<SaveCheckpoint>(&action))
    return WriteCheckpoint(job_id, save->checkpoint);
  if (const auto* event = std::get_if<TimelineEvent>(&action)) return WriteEvent(job_id, *event);
  if (const auto* save = std::get_if<SaveMove>(&action)) {
    HOLDFAST_CHECK(Statement(database_, "INSERT OR REPLACE INTO moves VALUES (?,?,?)")
                       .Bind(job_id, save->move.number, Serialize(save->move))
                       .Run());
    if (save->move.number <= kHistoryKept) return {};
    return Statement(database_, "DELETE FROM moves WHERE job_id = ? AND number <= ?")
        .Bind(job_id, save->move.number - kHistoryKept)
        .Run();
  }
  if (const auto* counted = std::get_if<Count>(&action)) {
    using std::chrono::milliseconds;
    return Statement(database_,
                     "UPDATE meta SET interruptions = interruptions + ?, node_ms = node_ms + ?")
        .Bind(counted->more.count,
              std::chrono::round<milliseconds>(counted->more.node_time).count())
        .Run();
  }
  return {};
}

Status Journal::WriteEvent(uint32_t job_id, const TimelineEvent& event) {
  HOLDFAST_CHECK(Statement(database_, "INSERT INTO events VALUES (?,?,?,?,?,?,?,?)")
                     .Bind(job_id, event.name, event.unix_ns, event.duration_ns, event.pod,
                           event.node, event.detail, event.checkpoint)
                     .Run());
  if (++untrimmed_[job_id] < kUntrimmed) return {};
  untrimmed_.erase(job_id);
  return Statement(database_,
                   "DELETE FROM events WHERE job_id = ? AND unix_ns < (SELECT unix_ns FROM events "
                   "WHERE job_id = ? ORDER BY unix_ns DESC LIMIT 1 OFFSET ?) "
                   "AND rowid < (SELECT max(rowid) FROM events)")
      .Bind(job_id, job_id, kHistoryKept - 1)
      .Run();
}

Result<std::vector<Job>> Journal::Load() {
  const std::lock_guard lock(mutex_);
  std::vector<Job> jobs;
  std::vector<std::pair<uint32_t, std::string>> unreadable;
  {
    Statement rows(database_, "SELECT job_id, job FROM jobs ORDER BY job_id");
    while (true) {
      HOLDFAST_TRY(const bool more, rows.Step());
      if (!more) break;
      rows.NextRow();
      const uint32_t id = rows.Uint();
      Result<Durable> job = ParseJob(rows.Text());
      if (job && job->id != id)
        job = Fail(Code::kCorrupt, fmt::format("it says that it is of job {}", job->id));
      if (job) {
        jobs.push_back(Revive(std::move(*job)));
        // Saved meanwhile, perhaps: storage knows, once its wardens have looked.
        if (gap_) jobs.back().perhaps_saved |= jobs.back().started;
      } else {
        unreadable.emplace_back(id, job.error().message());
      }
    }
  }
  for (const auto& [id, why] : unreadable) {
    const Status moved = SetAside(id, why);
    if (moved) continue;
    log::Failure("journal", moved.error(), {{"job", id}});
    unmoved_[id] = why;
  }
  return jobs;
}

Status Journal::SetAside(uint32_t job_id, const std::string& why) {
  HOLDFAST_CHECK(Execute(database_, "BEGIN IMMEDIATE"));
  Status moved = Statement(database_,
                           "INSERT OR REPLACE INTO unreadable "
                           "SELECT job_id, ?, job FROM jobs WHERE job_id = ?")
                     .Bind(why, job_id)
                     .Run();
  if (moved) moved = Statement(database_, "DELETE FROM jobs WHERE job_id = ?").Bind(job_id).Run();
  if (moved) moved = Execute(database_, "COMMIT");
  if (!moved) sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
  return moved;
}

Result<std::map<uint32_t, std::string>> Journal::Unreadable() {
  const std::lock_guard lock(mutex_);
  Statement rows(
      database_,
      "SELECT job_id, why FROM unreadable WHERE job_id NOT IN (SELECT job_id FROM jobs)");
  std::map<uint32_t, std::string> jobs = unmoved_;
  while (true) {
    HOLDFAST_TRY(const bool more, rows.Step());
    if (!more) return jobs;
    rows.NextRow();
    const uint32_t id = rows.Uint();
    jobs[id] = rows.Text();
  }
}

Result<std::vector<Checkpoint>> Journal::Checkpoints(uint32_t job_id) {
  return ReadHistory<Checkpoint>(
      "SELECT checkpoint FROM checkpoints WHERE job_id = ? ORDER BY number", job_id,
      ParseCheckpoint);
}

Result<std::vector<Move>> Journal::Moves(uint32_t job_id) {
  return ReadHistory<Move>("SELECT move FROM moves WHERE job_id = ? ORDER BY number", job_id,
                           ParseMove);
}

template <typename T>
Result<std::vector<T>> Journal::ReadHistory(const char* sql, uint32_t job_id,
                                            Result<T> (*parse)(std::string_view)) {
  const std::lock_guard lock(mutex_);
  Statement rows(database_, sql);
  rows.Bind(job_id);
  std::vector<T> history;
  while (true) {
    HOLDFAST_TRY(const bool more, rows.Step());
    if (!more) return history;
    rows.NextRow();
    Result<T> read = parse(rows.Text());
    if (!read)
      return std::unexpected(
          std::move(read).error().Wrap(fmt::format("the journal's history of job {}", job_id)));
    history.push_back(std::move(*read));
  }
}

Result<std::vector<TimelineEvent>> Journal::Events(uint32_t job_id, unsigned limit) {
  const std::lock_guard lock(mutex_);
  Statement rows(database_,
                 "SELECT * FROM (SELECT name, unix_ns, duration_ns, pod, node, detail, checkpoint "
                 "FROM events WHERE job_id = ? ORDER BY unix_ns DESC, rowid DESC LIMIT ?) "
                 "ORDER BY unix_ns");
  rows.Bind(job_id, limit);
  std::vector<TimelineEvent> events;
  while (true) {
    HOLDFAST_TRY(const bool more, rows.Step());
    if (!more) return events;
    rows.NextRow();
    events.push_back(ReadEvent(rows));
  }
}

Result<std::vector<NumberedEvent>> Journal::EventsAfter(int64_t number, unsigned limit) {
  const std::lock_guard lock(mutex_);
  Statement rows(database_,
                 "SELECT rowid, job_id, name, unix_ns, duration_ns, pod, node, detail, checkpoint "
                 "FROM events WHERE rowid > ? ORDER BY rowid LIMIT ?");
  rows.Bind(number, limit);
  std::vector<NumberedEvent> events;
  while (true) {
    HOLDFAST_TRY(const bool more, rows.Step());
    if (!more) return events;
    rows.NextRow();
    NumberedEvent& event = events.emplace_back();
    event.number = rows.Int();
    event.job_id = rows.Uint();
    event.event = ReadEvent(rows);
  }
}

Result<int64_t> Journal::LastEvent() {
  const std::lock_guard lock(mutex_);
  return ReadNumber(database_, "SELECT ifnull(max(rowid), 0) FROM events");
}

Result<uint32_t> Journal::FirstJob() {
  const std::lock_guard lock(mutex_);
  if (gap_) return UINT32_MAX;
  HOLDFAST_TRY(const int64_t first, ReadNumber(database_, "SELECT first_job FROM meta"));
  return static_cast<uint32_t>(first);
}

Result<Interruptions> Journal::Interrupted() {
  const std::lock_guard lock(mutex_);
  Statement row(database_, "SELECT interruptions, node_ms FROM meta");
  HOLDFAST_TRY(const bool found, row.Step());
  if (!found) return Interruptions{};
  const auto count = static_cast<uint64_t>(row.Int());
  return Interruptions{.count = count, .node_time = std::chrono::milliseconds(row.Int())};
}

Status Journal::Forget(uint32_t job_id) {
  untrimmed_.erase(job_id);
  // SQLite numbers rows after the highest there is, and no number of an event may come again.
  HOLDFAST_CHECK(Execute(
      database_, fmt::format("DELETE FROM events WHERE job_id = 0 AND rowid < (SELECT "
                             "max(rowid) FROM events); UPDATE events SET job_id = 0 "
                             "WHERE job_id = {} AND rowid = (SELECT max(rowid) FROM events);",
                             job_id)
                     .c_str()));
  for (const char* table : {"jobs", "unreadable", "checkpoints", "moves", "events"})
    HOLDFAST_CHECK(Execute(
        database_, fmt::format("DELETE FROM {} WHERE job_id = {};", table, job_id).c_str()));
  return {};
}

Status Journal::Prune(int64_t ended_before_ns) {
  JournalBatch old;
  {
    const std::lock_guard lock(mutex_);
    Statement rows(database_, "SELECT job FROM jobs WHERE written_ns < ?");
    rows.Bind(ended_before_ns);
    while (true) {
      HOLDFAST_TRY(const bool more, rows.Step());
      if (!more) break;
      rows.NextRow();
      const Result<Durable> job = ParseJob(rows.Text());
      if (job && job->stage == Stage::kEnded && job->aftermath.removed)
        old.forgotten.insert(job->id);
    }
  }
  return old.empty() ? Status{} : Write(old);
}

}  // namespace holdfast::coordinator
