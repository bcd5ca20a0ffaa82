// The journal's tables; docs/formats/journal.md says what the columns mean. Used by journal.cc
// alone.
#pragma once

namespace holdfast::coordinator {

inline constexpr int kJournalVersion = 3;

// As in version 1; what later ones added follows.
inline constexpr const char* kTables = R"(
CREATE TABLE meta (first_job INTEGER NOT NULL);
INSERT INTO meta VALUES (0);
CREATE TABLE jobs (
  job_id INTEGER PRIMARY KEY, restart_count INTEGER, uid INTEGER, gid INTEGER, stage INTEGER,
  options BLOB, vni INTEGER, nodes TEXT, hostnames TEXT, started INTEGER, first_checkpoint INTEGER,
  next_checkpoint INTEGER, saved TEXT, bad TEXT, from_start INTEGER, wanted_checkpoint INTEGER,
  restore_job INTEGER, restore_checkpoint INTEGER, attempts INTEGER, checkpoint INTEGER,
  move INTEGER, moves INTEGER, preemption_seen INTEGER, refused INTEGER, hold INTEGER, hurry INTEGER,
  excluded TEXT, set_excluded TEXT, user_excluded TEXT, commented INTEGER, last_error TEXT,
  written_ns INTEGER);
CREATE TABLE checkpoints (
  job_id INTEGER, number INTEGER, reason TEXT, stop INTEGER, hold INTEGER, second_try INTEGER,
  excluded TEXT, deadline_unix_ms INTEGER, begun_ns INTEGER, prepared_ns INTEGER,
  committed_ns INTEGER, settled_ns INTEGER, frozen_ns INTEGER, raw_bytes INTEGER,
  stored_bytes INTEGER, processes INTEGER, how INTEGER, error TEXT,
  PRIMARY KEY (job_id, number));
CREATE TABLE moves (
  job_id INTEGER, number INTEGER, checkpoint INTEGER, reason TEXT, from_nodes TEXT, to_nodes TEXT,
  left_ns INTEGER, requeued_ns INTEGER, chosen_ns INTEGER, restored_ns INTEGER, running_ns INTEGER,
  PRIMARY KEY (job_id, number));
CREATE TABLE events (
  job_id INTEGER, name TEXT, unix_ns INTEGER, duration_ns INTEGER, pod INTEGER, node TEXT,
  detail TEXT, checkpoint INTEGER);
CREATE INDEX events_of_job ON events (job_id, unix_ns);
)";
inline constexpr const char* kAddedInVersion2 = R"(
ALTER TABLE checkpoints ADD COLUMN ran_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN interruptions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN node_ms INTEGER NOT NULL DEFAULT 0;
)";
inline constexpr const char* kAddedInVersion3 = R"(
ALTER TABLE jobs ADD COLUMN ended_well INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN kept_seconds INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
)";

}  // namespace holdfast::coordinator
