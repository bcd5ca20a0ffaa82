// Versions 1 to 3 had a column for every field. What they hold is read as they wrote it, and
// written as messages.
#include "coordinator/journal_upgrade.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <utility>
#include <vector>

#include "coordinator/job_codec.h"
#include "coordinator/journal_tables.h"
#include "coordinator/statement.h"

namespace holdfast::coordinator {
namespace {

constexpr const char* kAddedInVersion2 = R"(
ALTER TABLE checkpoints ADD COLUMN ran_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN interruptions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN node_ms INTEGER NOT NULL DEFAULT 0;
)";
constexpr const char* kAddedInVersion3 = R"(
ALTER TABLE jobs ADD COLUMN ended_well INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN kept_seconds INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
)";

constexpr const char* kCheckpointColumns =
    "number, reason, stop, hold, second_try, excluded, deadline_unix_ms, begun_ns, prepared_ns, "
    "committed_ns, settled_ns, frozen_ns, raw_bytes, stored_bytes, processes, how, error, ran_ns";
constexpr const char* kMoveColumns =
    "number, checkpoint, reason, from_nodes, to_nodes, left_ns, requeued_ns, chosen_ns, "
    "restored_ns, running_ns";

constexpr const char* kJobColumns =
    "written_ns, job_id, restart_count, uid, gid, stage, options, vni, nodes, hostnames, started, "
    "first_checkpoint, next_checkpoint, saved, bad, from_start, wanted_checkpoint, restore_job, "
    "restore_checkpoint, attempts, checkpoint, move, moves, preemption_seen, refused, hold, hurry, "
    "excluded, set_excluded, user_excluded, commented, last_error, ended_well, kept_seconds, "
    "removed";

// Thrown and caught while a row is read.
struct Unreadable {
  std::string why;
};

template <typename T>
std::vector<T> ReadList(Statement& row) {
  const std::string text = row.Text();
  const nlohmann::json list = nlohmann::json::parse(text, nullptr, false);
  if (!list.is_array()) throw Unreadable{"not a list: " + text};
  std::vector<T> values;
  for (const nlohmann::json& value : list) {
    if (value.is_string() != std::is_same_v<T, std::string>)
      throw Unreadable{"not a list of its kind: " + text};
    values.push_back(value.get<T>());
  }
  return values;
}

Checkpoint ReadCheckpoint(Statement& row) {
  Checkpoint c;
  c.number = row.Uint();
  c.reason = ReasonFromName(row.Text());
  c.stop = row.Bool();
  c.hold = row.Bool();
  c.second_try = row.Bool();
  c.excluded = ReadList<std::string>(row);
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
  Move m;
  m.number = row.Uint();
  m.checkpoint = row.Uint();
  m.reason = ReasonFromName(row.Text());
  m.from = ReadList<std::string>(row);
  m.to = ReadList<std::string>(row);
  m.left_ns = row.Int();
  m.requeued_ns = row.Int();
  m.chosen_ns = row.Int();
  m.restored_ns = row.Int();
  m.running_ns = row.Int();
  return m;
}

// A job of version 3. It refers to a checkpoint and a move by number; the caller fills them in.
Durable ReadJob(Statement& row, uint32_t& checkpoint, uint32_t& move) {
  Durable job;
  job.id = row.Uint();
  job.start.restart_count = row.Uint();
  job.uid = row.Uint();
  job.gid = row.Uint();
  job.stage = static_cast<Stage>(row.Int());
  v1::Options options;
  if (!options.ParseFromString(row.Text())) throw Unreadable{"its options are damaged"};
  Result<JobOptions> read = FromMessage(options);
  if (!read) throw Unreadable{"its options: " + read.error().message()};
  job.options = std::move(*read);
  job.vni = row.Uint();
  job.start.nodes = ReadList<std::string>(row);
  job.hostnames = ReadList<std::string>(row);
  job.started = row.Bool();
  job.first_checkpoint = row.Uint();
  job.next_checkpoint = row.Uint();
  job.saved = ReadList<uint32_t>(row);
  job.bad = ReadList<uint32_t>(row);
  job.request.from_start = row.Bool();
  job.request.checkpoint = row.Uint();
  job.start.restore_job = row.Uint();
  job.start.restore_checkpoint = row.Uint();
  job.attempts = row.Uint();
  checkpoint = row.Uint();
  move = row.Uint();
  job.moves = row.Uint();
  job.start.preemption_seen = row.Bool();
  job.start.refused = row.Bool();
  job.departure.hold = row.Bool();
  job.departure.hurry = row.Bool();
  job.exclusions.next = ReadList<std::string>(row);
  job.exclusions.set = ReadList<std::string>(row);
  job.exclusions.user = ReadList<std::string>(row);
  job.commented = row.Bool();
  job.last_error = row.Text();
  job.aftermath.ended_well = row.Bool();
  job.aftermath.kept_seconds = static_cast<uint64_t>(row.Int());
  job.aftermath.removed = row.Bool();
  return job;
}

struct OldJob {
  uint32_t id = 0;
  int64_t written_ns = 0;
  Durable job;
  uint32_t checkpoint = 0;
  uint32_t move = 0;
  std::string unreadable;  // why, if it is
  std::vector<Checkpoint> checkpoints;
  std::vector<Move> moves;
};

template <typename Read>
Status ForEachRow(sqlite3* database, const std::string& sql, Read read) {
  Statement rows(database, sql);
  while (true) {
    HOLDFAST_TRY(const bool more, rows.Step());
    if (!more) return {};
    rows.NextRow();
    read(rows);
  }
}

// Calls `read` with the job that the row belongs to. What of its history cannot be read is left out
// of it, and makes the job unreadable only if it goes on from there.
template <typename Read>
Status ReadHistory(sqlite3* database, std::map<uint32_t, OldJob>& jobs, const char* columns,
                   const char* table, Read read) {
  return ForEachRow(
      database, fmt::format("SELECT job_id, {} FROM {} ORDER BY job_id, number", columns, table),
      [&](Statement& row) {
        const auto found = jobs.find(row.Uint());
        if (found == jobs.end()) return;
        try {
          read(row, found->second);
        } catch (const Unreadable& unreadable) {
          found->second.unreadable = fmt::format("table {}: {}", table, unreadable.why);
        }
      });
}

Result<std::map<uint32_t, OldJob>> ReadOldJobs(sqlite3* database) {
  std::map<uint32_t, OldJob> jobs;
  HOLDFAST_CHECK(ForEachRow(database, fmt::format("SELECT job_id, {} FROM jobs", kJobColumns),
                            [&](Statement& row) {
                              const uint32_t id = row.Uint();
                              OldJob& old = jobs[id];
                              old.id = id;
                              old.written_ns = row.Int();
                              try {
                                old.job = ReadJob(row, old.checkpoint, old.move);
                              } catch (const Unreadable& unreadable) {
                                old.unreadable = unreadable.why;
                              }
                            }));
  HOLDFAST_CHECK(ReadHistory(
      database, jobs, kCheckpointColumns, "checkpoints",
      [](Statement& row, OldJob& old) { old.checkpoints.push_back(ReadCheckpoint(row)); }));
  HOLDFAST_CHECK(
      ReadHistory(database, jobs, kMoveColumns, "moves",
                  [](Statement& row, OldJob& old) { old.moves.push_back(ReadMove(row)); }));
  return jobs;
}

// What versions 1 to 3 found out anew at every start.
void Complete(OldJob& old) {
  Durable& job = old.job;
  for (const Checkpoint& checkpoint : old.checkpoints) {
    if (checkpoint.number == old.checkpoint)
      job.checkpoint = checkpoint;
    else if (checkpoint.committed_ns != 0)
      job.Learn(checkpoint);
    if (checkpoint.committed_ns != 0)
      job.unsaved_ns = std::max(job.unsaved_ns, checkpoint.settled_ns);
  }
  for (const Move& move : old.moves) {
    if (move.number == old.move) job.move = move;
    job.unsaved_ns = std::max(job.unsaved_ns, move.running_ns);
  }
}

Status WriteJob(sqlite3* database, OldJob& old) {
  for (const Checkpoint& checkpoint : old.checkpoints)
    HOLDFAST_CHECK(Statement(database, "INSERT INTO checkpoints VALUES (?,?,?)")
                       .Bind(old.id, checkpoint.number, Serialize(checkpoint))
                       .Run());
  for (const Move& move : old.moves)
    HOLDFAST_CHECK(Statement(database, "INSERT INTO moves VALUES (?,?,?)")
                       .Bind(old.id, move.number, Serialize(move))
                       .Run());
  Complete(old);
  const std::string bytes = Serialize(old.job);
  // A number that no version has written, a stage for example.
  if (const Result<Durable> back = ParseJob(bytes); !back && old.unreadable.empty())
    old.unreadable = back.error().message();
  if (!old.unreadable.empty())
    return Statement(database, "INSERT INTO unreadable VALUES (?,?,?)")
        .Bind(old.id, old.unreadable, bytes)
        .Run();
  return Statement(database, "INSERT INTO jobs VALUES (?,?,?)")
      .Bind(old.id, old.written_ns, bytes)
      .Run();
}

Status UpgradeTables(sqlite3* database, int64_t version) {
  if (version < 2) HOLDFAST_CHECK(Execute(database, kAddedInVersion2));
  if (version < 3) HOLDFAST_CHECK(Execute(database, kAddedInVersion3));
  HOLDFAST_TRY(auto jobs, ReadOldJobs(database));
  HOLDFAST_CHECK(Execute(database, "DROP TABLE jobs; DROP TABLE checkpoints; DROP TABLE moves"));
  HOLDFAST_CHECK(Execute(database, kTables));
  for (auto& [id, job] : jobs) HOLDFAST_CHECK(WriteJob(database, job));
  return {};
}

Status Upgrade(sqlite3* database, int64_t version) {
  // A row of version 4 says itself that it has options of before (job_codec.cc).
  if (version < 4) HOLDFAST_CHECK(UpgradeTables(database, version));
  return Execute(database, fmt::format("PRAGMA user_version={}", kJournalVersion).c_str());
}

}  // namespace

Status UpgradeJournal(sqlite3* database, int64_t version) {
  HOLDFAST_CHECK(Execute(database, "BEGIN EXCLUSIVE"));
  Status upgraded = Upgrade(database, version);
  if (upgraded) upgraded = Execute(database, "COMMIT");
  if (!upgraded) (void)Execute(database, "ROLLBACK");
  return upgraded;
}

}  // namespace holdfast::coordinator
