#include "coordinator/journal.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <utility>

#include "coordinator/clock.h"
#include "coordinator/job_codec.h"
#include "coordinator/journal_tables.h"
#include "coordinator/journal_upgrade.h"
#include "coordinator/statement.h"

namespace holdfast::coordinator {
namespace {

bool IsHistory(const Action& action) {
  return std::holds_alternative<SaveCheckpoint>(action) ||
         std::holds_alternative<SaveMove>(action) ||
         std::holds_alternative<TimelineEvent>(action) || std::holds_alternative<Count>(action);
}

Result<int64_t> ReadNumber(sqlite3* database, const char* sql) {
  Statement statement(database, sql);
  HOLDFAST_TRY(const bool found, statement.Step());
  return found ? statement.Int() : 0;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::Open(const std::string& path) {
  sqlite3* database = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  std::unique_ptr<Journal> journal(new Journal(database));
  if (code != SQLITE_OK)
    return Fail(Code::kDenied, fmt::format("opening the journal {}: {}; may this user write there?",
                                           path, sqlite3_errstr(code)));
  sqlite3_busy_timeout(database, 5000);
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
  return journal;
}

Journal::~Journal() { sqlite3_close(database_); }

Status Journal::Write(const Job& job, const std::vector<Action>& actions) {
  const std::lock_guard lock(mutex_);
  std::string bytes = Serialize(job);
  std::string& last = written_[job.id];
  const bool changed = bytes != last;
  if (!changed && std::ranges::none_of(actions, IsHistory)) return {};
  HOLDFAST_CHECK(Execute(database_, "BEGIN IMMEDIATE"));
  Status written = changed ? WriteJob(job, bytes) : Status{};
  if (written) written = WriteHistory(job.id, actions);
  if (written) written = Execute(database_, "COMMIT");
  if (written)
    last = std::move(bytes);
  else
    sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
  return written;
}

Status Journal::WriteJob(const Job& job, const std::string& bytes) {
  HOLDFAST_CHECK(
      Statement(database_, "UPDATE meta SET first_job = ? WHERE first_job = 0").Bind(job.id).Run());
  HOLDFAST_CHECK(Statement(database_, "INSERT OR REPLACE INTO jobs VALUES (?,?,?)")
                     .Bind(job.id, NowNs(), bytes)
                     .Run());
  // In flight, it changes without an action: a stop that came while it was being saved.
  return job.checkpoint ? WriteCheckpoint(job.id, *job.checkpoint) : Status{};
}

Status Journal::WriteCheckpoint(uint32_t job_id, const Checkpoint& checkpoint) {
  return Statement(database_, "INSERT OR REPLACE INTO checkpoints VALUES (?,?,?)")
      .Bind(job_id, checkpoint.number, Serialize(checkpoint))
      .Run();
}

Status Journal::WriteHistory(uint32_t job_id, const std::vector<Action>& actions) {
  for (const Action& action : actions) {
    if (const auto* save = std::get_if<SaveCheckpoint>(&action)) {
      HOLDFAST_CHECK(WriteCheckpoint(job_id, save->checkpoint));
    } else if (const auto* move = std::get_if<SaveMove>(&action)) {
      HOLDFAST_CHECK(Statement(database_, "INSERT OR REPLACE INTO moves VALUES (?,?,?)")
                         .Bind(job_id, move->move.number, Serialize(move->move))
                         .Run());
    } else if (const auto* event = std::get_if<TimelineEvent>(&action)) {
      HOLDFAST_CHECK(Statement(database_, "INSERT INTO events VALUES (?,?,?,?,?,?,?,?)")
                         .Bind(job_id, event->name, event->unix_ns, event->duration_ns, event->pod,
                               event->node, event->detail, event->checkpoint)
                         .Run());
    } else if (const auto* counted = std::get_if<Count>(&action)) {
      using std::chrono::milliseconds;
      HOLDFAST_CHECK(
          Statement(database_,
                    "UPDATE meta SET interruptions = interruptions + ?, node_ms = node_ms + ?")
              .Bind(counted->more.count,
                    std::chrono::round<milliseconds>(counted->more.node_time).count())
              .Run());
    }
  }
  return {};
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
      if (job)
        jobs.push_back(Revive(std::move(*job)));
      else
        unreadable.emplace_back(id, job.error().message());
    }
  }
  for (const auto& [id, why] : unreadable) HOLDFAST_CHECK(SetAside(id, why));
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
  std::map<uint32_t, std::string> jobs;
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
    TimelineEvent event;
    event.name = rows.Text();
    event.unix_ns = rows.Int();
    event.duration_ns = rows.Int();
    event.pod = static_cast<int32_t>(rows.Int());
    event.node = rows.Text();
    event.detail = rows.Text();
    event.checkpoint = rows.Uint();
    events.push_back(std::move(event));
  }
}

Result<std::vector<std::string>> Journal::HostnamesOf(uint32_t job_id) {
  const std::lock_guard lock(mutex_);
  Statement rows(database_, "SELECT job FROM jobs WHERE job_id = ?");
  rows.Bind(job_id);
  HOLDFAST_TRY(const bool found, rows.Step());
  if (!found) return std::vector<std::string>{};
  HOLDFAST_TRY(const Durable job, ParseJob(rows.Text()));
  return job.hostnames;
}

Result<uint32_t> Journal::FirstJob() {
  const std::lock_guard lock(mutex_);
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
  const std::lock_guard lock(mutex_);
  written_.erase(job_id);
  const std::string id = std::to_string(job_id);
  std::string sql = "BEGIN;";
  for (const char* table : {"jobs", "unreadable", "checkpoints", "moves", "events"})
    sql += fmt::format("DELETE FROM {} WHERE job_id = {};", table, id);
  return Execute(database_, (sql + "COMMIT;").c_str());
}

Status Journal::Prune(int64_t ended_before_ns) {
  std::vector<uint32_t> old;
  {
    const std::lock_guard lock(mutex_);
    Statement rows(database_, "SELECT job FROM jobs WHERE written_ns < ?");
    rows.Bind(ended_before_ns);
    while (true) {
      HOLDFAST_TRY(const bool more, rows.Step());
      if (!more) break;
      rows.NextRow();
      const Result<Durable> job = ParseJob(rows.Text());
      if (job && job->stage == Stage::kEnded && job->aftermath.removed) old.push_back(job->id);
    }
  }
  for (const uint32_t job_id : old) HOLDFAST_CHECK(Forget(job_id));
  return {};
}

}  // namespace holdfast::coordinator
