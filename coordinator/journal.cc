#include "coordinator/journal.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "coordinator/clock.h"
#include "coordinator/journal_tables.h"
#include "coordinator/statement.h"

namespace holdfast::coordinator {
namespace {

constexpr const char* kCheckpointColumns =
    "number, reason, stop, hold, second_try, excluded, deadline_unix_ms, begun_ns, prepared_ns, "
    "committed_ns, settled_ns, frozen_ns, raw_bytes, stored_bytes, processes, how, error, ran_ns";
constexpr const char* kMoveColumns =
    "number, checkpoint, reason, from_nodes, to_nodes, left_ns, requeued_ns, chosen_ns, "
    "restored_ns, running_ns";

template <typename T>
std::string ToText(const std::vector<T>& list) {
  return nlohmann::json(list).dump();
}

// What this program wrote itself: anything else reads as empty.
template <typename T>
std::vector<T> FromText(const std::string& text) {
  const nlohmann::json list = nlohmann::json::parse(text, nullptr, false);
  std::vector<T> values;
  if (!list.is_array()) return values;
  for (const nlohmann::json& value : list)
    if (value.is_string() == std::is_same_v<T, std::string>) values.push_back(value.get<T>());
  return values;
}

Checkpoint ReadCheckpoint(Statement& row) {
  row.NextRow();
  Checkpoint c;
  c.number = row.Uint();
  c.reason = row.Text();
  c.stop = row.Bool();
  c.hold = row.Bool();
  c.second_try = row.Bool();
  c.excluded = FromText<std::string>(row.Text());
  c.deadline_unix_ms = row.Int();
  c.begun_ns = row.Int();
  c.prepared_ns = row.Int();
  c.committed_ns = row.Int();
  c.settled_ns = row.Int();
  c.frozen_ns = row.Int();
  c.raw_bytes = static_cast<uint64_t>(row.Int());
  c.stored_bytes = static_cast<uint64_t>(row.Int());
  c.processes = row.Uint();
  c.how = static_cast<v1::Settle::How>(row.Int());
  c.error = row.Text();
  c.ran_ns = row.Int();
  return c;
}

Move ReadMove(Statement& row) {
  row.NextRow();
  Move m;
  m.number = row.Uint();
  m.checkpoint = row.Uint();
  m.reason = row.Text();
  m.from = FromText<std::string>(row.Text());
  m.to = FromText<std::string>(row.Text());
  m.left_ns = row.Int();
  m.requeued_ns = row.Int();
  m.chosen_ns = row.Int();
  m.restored_ns = row.Int();
  m.running_ns = row.Int();
  return m;
}

// Jobs refer to a checkpoint and a move by number; the caller fills them in.
Job ReadJob(Statement& row, uint32_t& checkpoint, uint32_t& move) {
  row.NextRow();
  Job job;
  job.id = row.Uint();
  job.restart_count = row.Uint();
  job.uid = row.Uint();
  job.gid = row.Uint();
  job.stage = static_cast<Stage>(row.Int());
  job.options.ParseFromString(row.Text());
  job.vni = row.Uint();
  for (const std::string& node : FromText<std::string>(row.Text()))
    job.pods.push_back(Pod{.node = node});
  job.hostnames = FromText<std::string>(row.Text());
  job.started = row.Bool();
  job.first_checkpoint = row.Uint();
  job.next_checkpoint = row.Uint();
  job.saved = FromText<uint32_t>(row.Text());
  job.bad = FromText<uint32_t>(row.Text());
  job.from_start = row.Bool();
  job.wanted_checkpoint = row.Uint();
  job.restore_job = row.Uint();
  job.restore_checkpoint = row.Uint();
  job.attempts = row.Uint();
  checkpoint = row.Uint();
  move = row.Uint();
  job.moves = row.Uint();
  job.preemption_seen = row.Bool();
  job.refused = row.Bool();
  job.hold = row.Bool();
  job.hurry = row.Bool();
  job.excluded = FromText<std::string>(row.Text());
  job.set_excluded = FromText<std::string>(row.Text());
  job.user_excluded = FromText<std::string>(row.Text());
  job.commented = row.Bool();
  job.last_error = row.Text();
  row.Int();  // written_ns
  job.ended_well = row.Bool();
  job.kept_seconds = static_cast<uint64_t>(row.Int());
  job.removed = row.Bool();
  return job;
}

// The columns of table jobs up to written_ns, and those that follow it.
auto ToRow(const Job& job) {
  return std::tuple(job.id, job.restart_count, job.uid, job.gid, static_cast<int>(job.stage),
                    job.options.SerializeAsString(), job.vni, ToText(job.nodes()),
                    ToText(job.hostnames), job.started, job.first_checkpoint, job.next_checkpoint,
                    ToText(job.saved), ToText(job.bad), job.from_start, job.wanted_checkpoint,
                    job.restore_job, job.restore_checkpoint, job.attempts,
                    job.checkpoint ? job.checkpoint->number : 0, job.move ? job.move->number : 0,
                    job.moves, job.preemption_seen, job.refused, job.hold, job.hurry, ToText(job.excluded),
                    ToText(job.set_excluded), ToText(job.user_excluded), job.commented,
                    job.last_error);
}
auto EndOfRow(const Job& job) { return std::tuple(job.ended_well, job.kept_seconds, job.removed); }

// Everything that Write would write of the job, to see whether it must.
std::string Fingerprint(const Job& job) {
  std::string text;
  std::apply([&text](const auto&... values) { ((text += fmt::format("{}\x1f", values)), ...); },
             std::tuple_cat(ToRow(job), EndOfRow(job)));
  // In flight, these change without an action: a stop that came while it was being saved.
  if (job.checkpoint)
    text += fmt::format("{} {} {} {}", job.checkpoint->stop, job.checkpoint->reason,
                        ToText(job.checkpoint->excluded), job.checkpoint->prepared_ns);
  return text;
}

bool IsHistory(const Action& action) {
  return std::holds_alternative<SaveCheckpoint>(action) ||
         std::holds_alternative<SaveMove>(action) ||
         std::holds_alternative<TimelineEvent>(action) || std::holds_alternative<Count>(action);
}

Status Execute(sqlite3* database, const char* sql) {
  if (sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return Fail(Code::kInternal, std::string("journal: ") + sqlite3_errmsg(database));
}

Result<int64_t> ReadNumber(sqlite3* database, const char* sql) {
  Statement statement(database, sql);
  HOLDFAST_TRY(const bool found, statement.Step());
  return found ? statement.Int() : 0;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::Open(const std::string& path) {
  sqlite3* database = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &database,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
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
  if (version < kJournalVersion) HOLDFAST_CHECK(journal->Upgrade(version));
  return journal;
}

Journal::~Journal() { sqlite3_close(database_); }

Status Journal::Upgrade(int64_t version) {
  return Execute(
      database_,
      fmt::format("BEGIN; {} {} {} PRAGMA user_version={}; COMMIT;", version < 1 ? kTables : "",
                  version < 2 ? kAddedInVersion2 : "", kAddedInVersion3, kJournalVersion)
          .c_str());
}

Status Journal::Write(const Job& job, const std::vector<Action>& actions) {
  const std::lock_guard lock(mutex_);
  std::string fingerprint = Fingerprint(job);
  std::string& last = written_[job.id];
  if (fingerprint == last && std::ranges::none_of(actions, IsHistory)) return {};
  HOLDFAST_CHECK(Execute(database_, "BEGIN IMMEDIATE"));
  Status written = WriteRows(job, actions);
  if (written) written = Execute(database_, "COMMIT");
  if (written)
    last = std::move(fingerprint);
  else
    sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
  return written;
}

Status Journal::WriteRows(const Job& job, const std::vector<Action>& actions) {
  HOLDFAST_CHECK(Statement(database_, "UPDATE meta SET first_job = ? WHERE first_job = 0")
                     .Bind(job.id)
                     .Run());
  Statement insert(database_,
                   "INSERT OR REPLACE INTO jobs VALUES "
                   "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
  std::apply([&insert](const auto&... values) { insert.Bind(values...); },
             std::tuple_cat(ToRow(job), std::tuple(NowNs()), EndOfRow(job)));
  HOLDFAST_CHECK(insert.Run());
  const auto write_checkpoint = [&](const Checkpoint& c) {
    return Statement(database_,
                     "INSERT OR REPLACE INTO checkpoints VALUES "
                     "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")
        .Bind(job.id, c.number, c.reason, c.stop, c.hold, c.second_try, ToText(c.excluded),
              c.deadline_unix_ms, c.begun_ns, c.prepared_ns, c.committed_ns, c.settled_ns,
              c.frozen_ns, c.raw_bytes, c.stored_bytes, c.processes, static_cast<int>(c.how),
              c.error, c.ran_ns)
        .Run();
  };
  for (const Action& action : actions) {
    if (const auto* save = std::get_if<SaveCheckpoint>(&action)) {
      HOLDFAST_CHECK(write_checkpoint(save->checkpoint));
    } else if (const auto* move = std::get_if<SaveMove>(&action)) {
      const Move& m = move->move;
      HOLDFAST_CHECK(
          Statement(database_, "INSERT OR REPLACE INTO moves VALUES (?,?,?,?,?,?,?,?,?,?,?)")
              .Bind(job.id, m.number, m.checkpoint, m.reason, ToText(m.from), ToText(m.to),
                    m.left_ns, m.requeued_ns, m.chosen_ns, m.restored_ns, m.running_ns)
              .Run());
    } else if (const auto* event = std::get_if<TimelineEvent>(&action)) {
      HOLDFAST_CHECK(Statement(database_, "INSERT INTO events VALUES (?,?,?,?,?,?,?,?)")
                         .Bind(job.id, event->name, event->unix_ns, event->duration_ns, event->pod,
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
  if (job.checkpoint) HOLDFAST_CHECK(write_checkpoint(*job.checkpoint));
  return {};
}

Result<std::vector<Job>> Journal::Load() {
  std::vector<Job> jobs;
  std::vector<std::pair<uint32_t, uint32_t>> numbers;  // of checkpoint and move, by job
  {
    const std::lock_guard lock(mutex_);
    Statement rows(database_, "SELECT * FROM jobs ORDER BY job_id");
    while (true) {
      HOLDFAST_TRY(const bool more, rows.Step());
      if (!more) break;
      auto& [checkpoint, move] = numbers.emplace_back();
      jobs.push_back(ReadJob(rows, checkpoint, move));
    }
  }
  for (size_t i = 0; i < jobs.size(); ++i) {
    HOLDFAST_TRY(const std::vector<Checkpoint> checkpoints, Checkpoints(jobs[i].id));
    for (const Checkpoint& checkpoint : checkpoints) {
      if (checkpoint.number == numbers[i].first)
        jobs[i].checkpoint = checkpoint;
      else if (checkpoint.committed_ns != 0)
        jobs[i].Learn(checkpoint);
      if (checkpoint.committed_ns != 0)
        jobs[i].unsaved_ns = std::max(jobs[i].unsaved_ns, checkpoint.settled_ns);
    }
    HOLDFAST_TRY(const std::vector<Move> moves, Moves(jobs[i].id));
    for (const Move& move : moves) {
      if (move.number == numbers[i].second) jobs[i].move = move;
      jobs[i].unsaved_ns = std::max(jobs[i].unsaved_ns, move.running_ns);
    }
  }
  return jobs;
}

Result<std::vector<Checkpoint>> Journal::Checkpoints(uint32_t job_id) {
  const std::lock_guard lock(mutex_);
  Statement rows(database_, fmt::format("SELECT {} FROM checkpoints WHERE job_id = ? ORDER BY number",
                                        kCheckpointColumns));
  rows.Bind(job_id);
  std::vector<Checkpoint> checkpoints;
  while (true) {
    HOLDFAST_TRY(const bool more, rows.Step());
    if (!more) return checkpoints;
    checkpoints.push_back(ReadCheckpoint(rows));
  }
}

Result<std::vector<Move>> Journal::Moves(uint32_t job_id) {
  const std::lock_guard lock(mutex_);
  Statement rows(database_, fmt::format("SELECT {} FROM moves WHERE job_id = ? ORDER BY number",
                                        kMoveColumns));
  rows.Bind(job_id);
  std::vector<Move> moves;
  while (true) {
    HOLDFAST_TRY(const bool more, rows.Step());
    if (!more) return moves;
    moves.push_back(ReadMove(rows));
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
  Statement rows(database_, "SELECT hostnames FROM jobs WHERE job_id = ?");
  rows.Bind(job_id);
  HOLDFAST_TRY(const bool found, rows.Step());
  return found ? FromText<std::string>(rows.Text()) : std::vector<std::string>{};
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
  for (const char* table : {"jobs", "checkpoints", "moves", "events"})
    sql += fmt::format("DELETE FROM {} WHERE job_id = {};", table, id);
  return Execute(database_, (sql + "COMMIT;").c_str());
}

Status Journal::Prune(int64_t ended_before_ns) {
  std::vector<uint32_t> old;
  {
    const std::lock_guard lock(mutex_);
    Statement rows(database_,
                   "SELECT job_id FROM jobs WHERE stage = ? AND removed AND written_ns < ?");
    rows.Bind(static_cast<int>(Stage::kEnded), ended_before_ns);
    while (true) {
      HOLDFAST_TRY(const bool more, rows.Step());
      if (!more) break;
      rows.NextRow();
      old.push_back(rows.Uint());
    }
  }
  for (const uint32_t job_id : old) HOLDFAST_CHECK(Forget(job_id));
  return {};
}

}  // namespace holdfast::coordinator
