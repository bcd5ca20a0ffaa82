// Journals as older versions made them: their tables, and rows with what they wrote there.
#include "coordinator/journal_upgrade.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>

#include "coordinator/journal.h"

namespace holdfast::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr const char* kVersion1 = R"(
CREATE TABLE meta (first_job INTEGER NOT NULL);
INSERT INTO meta VALUES (40);
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
INSERT INTO jobs VALUES (42, 3, 1000, 1001, 5, x'12052f636b7074', 42, '["n1","n2"]', '["n3","n4"]',
  1, 2, 9, '[6,7]', '[5]', 0, 6, 42, 7, 1, 8, 2, 2, 1, 0, 0, 1, '["n1"]', '["n1","n9"]', '["n9"]',
  0, 'it''s "odd"', 77);
INSERT INTO checkpoints VALUES
  (42, 6, 'interval', 0, 0, 0, '[]', 0, 100000000000, 101000000000, 102000000000, 103000000000, 5,
   1000, 600, 4, 0, ''),
  (42, 7, 'save', 0, 0, 0, '[]', 0, 200000000000, 201000000000, 202000000000, 203000000000, 5,
   1000, 700, 4, 0, ''),
  (42, 8, 'preemption', 1, 0, 0, '["n1"]', 88, 300000000000, 301000000000, 0, 0, 5, 1000, 800, 4, 1,
   '');
INSERT INTO moves VALUES (42, 1, 3, 'spot', '["n5","n6"]', '["n3","n4"]', 1, 2, 3, 4, 5),
  (42, 2, 7, 'migrate', '["n3","n4"]', '[]', 6, 0, 0, 0, 0);
INSERT INTO events VALUES (42, 'notice', 10, 0, -1, '', 'preemption', 8);
INSERT INTO jobs VALUES (43, 0, 1000, 1001, 3, x'ffff', 43, '["n1"]', '["n1"]', 1, 1, 2, '[1]', '[]',
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '[]', '[]', '[]', 0, '', 77);
INSERT INTO jobs VALUES (44, 0, 1000, 1001, 3, x'', 44, '["n1"]', '["n1"]', 1, 1, 2, '', '[]',
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '[]', '[]', '[]', 0, '', 77);
INSERT INTO jobs VALUES (45, 0, 1000, 1001, 77, x'', 45, '["n1"]', '["n1"]', 1, 1, 2, '[]', '[]',
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '[]', '[]', '[]', 0, '', 77);
PRAGMA user_version=1;
)";
constexpr const char* kVersion2 = R"(
ALTER TABLE checkpoints ADD COLUMN ran_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN interruptions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN node_ms INTEGER NOT NULL DEFAULT 0;
UPDATE checkpoints SET ran_ns = 90000000000 WHERE number = 7;
UPDATE meta SET interruptions = 4, node_ms = 5000;
PRAGMA user_version=2;
)";
constexpr const char* kVersion3 = R"(
ALTER TABLE jobs ADD COLUMN ended_well INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN kept_seconds INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET kept_seconds = 7200 WHERE job_id = 42;
PRAGMA user_version=3;
)";

// Version 4 has the tables of version 5; its rows are of version 1 of Entry (job_codec_test.cc).
constexpr const char* kRowsOfVersion4 = R"(
UPDATE jobs SET job = x'0801120d082a2a0912052f636b70741802';
PRAGMA user_version=4;
)";

class JournalUpgradeTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "/journal_upgrade_test." + std::to_string(::getpid());
    std::filesystem::create_directories(directory_);
    Run(kVersion1);
    if (GetParam() >= 2) Run(kVersion2);
    if (GetParam() >= 3) Run(kVersion3);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string path() const { return directory_ + "/journal.db"; }
  void Run(const char* sql) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(database);
    sqlite3_close(database);
  }
  std::string directory_;
};

TEST_P(JournalUpgradeTest, KeepsTheJobAndItsHistory) {
  {
    const auto upgraded = Journal::Open(path());
    ASSERT_TRUE(upgraded) << upgraded.error().message();
  }
  const auto journal = Journal::Open(path());
  ASSERT_TRUE(journal) << journal.error().message();
  const auto jobs = (*journal)->Load();
  ASSERT_TRUE(jobs) << jobs.error().message();
  ASSERT_THAT(*jobs, SizeIs(1));
  const Job& job = jobs->front();
  Durable expected{.id = 42,
                   .uid = 1000,
                   .gid = 1001,
                   .stage = Stage::kCommitting,
                   .vni = 42,
                   .hostnames = {"n3", "n4"},
                   .started = true,
                   .first_checkpoint = 2,
                   .next_checkpoint = 9,
                   .saved = {6, 7},
                   .bad = {5},
                   .attempts = 1,
                   .moves = 2,
                   .unsaved_ns = 203'000'000'000,
                   .costs = job.costs,
                   .last_error = "it's \"odd\"",
                   .saved_once = true};
  expected.options = {.checkpoint = true, .directory = "/ckpt"};
  expected.start = Start{.restart_count = 3,
                         .nodes = {"n1", "n2"},
                         .restore_job = 42,
                         .restore_checkpoint = 7,
                         .preemption_seen = true};
  expected.request = {.checkpoint = 6};
  expected.departure = {.hurry = true};
  expected.exclusions = {.next = {"n1"}, .set = {"n1", "n9"}, .user = {"n9"}};
  if (GetParam() >= 3) expected.aftermath.kept_seconds = 7200;
  expected.checkpoint = Checkpoint{.number = 8,
                                   .reason = Reason::kPreemption,
                                   .stop = true,
                                   .excluded = {"n1"},
                                   .deadline_unix_ms = 88,
                                   .begun_ns = 300'000'000'000,
                                   .prepared_ns = 301'000'000'000,
                                   .frozen_ns = 5,
                                   .raw_bytes = 1000,
                                   .stored_bytes = 800,
                                   .processes = 4,
                                   .how = v1::Settle::RELEASE};
  expected.move = Move{
      .number = 2, .checkpoint = 7, .reason = Reason::kMigrate, .from = {"n3", "n4"}, .left_ns = 6};
  EXPECT_TRUE(static_cast<const Durable&>(job) == expected);
  ASSERT_THAT(job.costs, SizeIs(2));
  EXPECT_EQ(job.costs.back().ran, std::chrono::seconds(GetParam() >= 2 ? 90 : 0));
  EXPECT_EQ(job.costs.back().stopped, std::chrono::seconds(3));
  EXPECT_THAT(*(*journal)->Checkpoints(42), SizeIs(3));
  ASSERT_THAT(*(*journal)->Moves(42), SizeIs(2));
  EXPECT_EQ((*journal)->Moves(42)->front().reason, Reason::kSpot);
  EXPECT_THAT((*journal)->Moves(42)->front().to, ElementsAre("n3", "n4"));
  EXPECT_THAT(*(*journal)->Events(42, 10), SizeIs(1));
  EXPECT_EQ(*(*journal)->FirstJob(), 40U);
  EXPECT_EQ((*journal)->Interrupted()->count, GetParam() >= 2 ? 4U : 0U);
}

TEST_P(JournalUpgradeTest, WhatCannotBeReadIsNotTakenForEmpty) {
  const auto journal = Journal::Open(path());
  ASSERT_TRUE(journal) << journal.error().message();
  const auto unreadable = (*journal)->Unreadable();
  ASSERT_TRUE(unreadable);
  ASSERT_THAT(*unreadable, SizeIs(3));
  EXPECT_THAT(unreadable->at(43), HasSubstr("options"));
  EXPECT_THAT(unreadable->at(44), HasSubstr("not a list"));
  EXPECT_THAT(unreadable->at(45), HasSubstr("stage 77"));
}

TEST_P(JournalUpgradeTest, FailureLeavesTheJournalAsItWas) {
  Run("ALTER TABLE moves RENAME TO moved");
  EXPECT_FALSE(Journal::Open(path()));
  Run("ALTER TABLE moved RENAME TO moves");
  const auto journal = Journal::Open(path());
  ASSERT_TRUE(journal) << journal.error().message();
  EXPECT_THAT(*(*journal)->Load(), SizeIs(1));
  EXPECT_THAT(*(*journal)->Checkpoints(43), IsEmpty());
}

TEST(JournalUpgradeFrom4, JobsKeepTheirOptions) {
  const std::string path =
      ::testing::TempDir() + "/journal_upgrade_from_4." + std::to_string(::getpid());
  ASSERT_TRUE((*Journal::Open(path))->Write(Revive({.id = 42}), {}));
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(database, kRowsOfVersion4, nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  const auto journal = Journal::Open(path);
  ASSERT_TRUE(journal) << journal.error().message();
  const auto jobs = (*journal)->Load();
  ASSERT_TRUE(jobs) << jobs.error().message();
  ASSERT_THAT(*jobs, SizeIs(1));
  EXPECT_EQ(jobs->front().options,
            (JobOptions{.checkpoint = true, .directory = "/ckpt", .keep = 2}));
  std::filesystem::remove(path);
}

INSTANTIATE_TEST_SUITE_P(Versions, JournalUpgradeTest, ::testing::Values(1, 2, 3));

}  // namespace
}  // namespace holdfast::coordinator
