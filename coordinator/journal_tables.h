// The journal's tables; docs/formats/journal.md says what is in them. Used by journal.cc and
// journal_upgrade.cc alone.
#pragma once

namespace holdfast::coordinator {

inline constexpr int kJournalVersion = 5;

inline constexpr const char* kTables = R"(
CREATE TABLE jobs (
  job_id INTEGER PRIMARY KEY, written_ns INTEGER NOT NULL, job BLOB NOT NULL);
CREATE TABLE unreadable (job_id INTEGER PRIMARY KEY, why TEXT NOT NULL, job BLOB);
CREATE TABLE checkpoints (
  job_id INTEGER, number INTEGER, checkpoint BLOB NOT NULL, PRIMARY KEY (job_id, number));
CREATE TABLE moves (
  job_id INTEGER, number INTEGER, move BLOB NOT NULL, PRIMARY KEY (job_id, number));
)";
// These are as they were in version 3.
inline constexpr const char* kUnchangedTables = R"(
CREATE TABLE meta (
  first_job INTEGER NOT NULL, interruptions INTEGER NOT NULL DEFAULT 0,
  node_ms INTEGER NOT NULL DEFAULT 0);
INSERT INTO meta VALUES (0, 0, 0);
CREATE TABLE events (
  job_id INTEGER, name TEXT, unix_ns INTEGER, duration_ns INTEGER, pod INTEGER, node TEXT,
  detail TEXT, checkpoint INTEGER);
CREATE INDEX events_of_job ON events (job_id, unix_ns);
)";

}  // namespace holdfast::coordinator
