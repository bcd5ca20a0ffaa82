#include "coordinator/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

namespace holdfast::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class JournalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "/journal_test." + std::to_string(::getpid());
    std::filesystem::create_directories(directory_);
    path_ = directory_ + "/journal.db";
    Reopen();
  }
  void TearDown() override {
    journal_.reset();
    std::filesystem::remove_all(directory_);
  }
  void Reopen() {
    journal_.reset();
    auto opened = Journal::Open(path_);
    ASSERT_TRUE(opened) << opened.error().message();
    journal_ = std::move(*opened);
  }
  Status Write(const Job& job, const std::vector<Action>& history = {}) {
    JournalBatch batch;
    batch.jobs.emplace(job.id, job);
    for (const Action& action : history) batch.history.push_back({job.id, action});
    return journal_->Write(batch);
  }
  Status Forget(uint32_t job_id) { return journal_->Write({.forgotten = {job_id}}); }
  // Closes the journal and changes it behind its back.
  void Tamper(const char* sql) {
    journal_.reset();
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(database);
  }
  static Job SomeJob(uint32_t job_id) {
    Job job;
    job.id = job_id;
    job.uid = 1000;
    job.gid = 1001;
    job.start.restart_count = 3;
    job.stage = Stage::kCommitting;
    job.options = {.checkpoint = true,
                   .interval = Interval{.every = std::chrono::seconds(60)},
                   .directory = "/ckpt",
                   .keep = 2};
    job.vni = job_id;
    job.start.nodes = {"n1", "n2"};
    job.hostnames = {"n3", "n4"};
    job.started = true;
    job.first_checkpoint = 2;
    job.next_checkpoint = 9;
    job.saved = {6, 7};
    job.bad = {5};
    job.request.checkpoint = 6;
    job.start.restore_job = job_id;
    job.start.restore_checkpoint = 7;
    job.attempts = 1;
    job.moves = 2;
    job.start.preemption_seen = true;
    job.departure.hurry = true;
    job.exclusions.next = {"n1"};
    job.exclusions.set = {"n1", "n9"};
    job.exclusions.user = {"n9"};
    job.last_error = "it's \"odd\"";
    job.checkpoint =
        Checkpoint{.number = 8, .reason = Reason::kPreemption, .stop = true, .begun_ns = 77};
    job.move = Move{.number = 2,
                    .checkpoint = 7,
                    .reason = Reason::kMigrate,
                    .from = {"n3", "n4"},
                    .left_ns = 5};
    return job;
  }
  std::string directory_;
  std::string path_;
  std::unique_ptr<Journal> journal_;
};

TEST_F(JournalTest, RemembersEverythingThatMustOutliveTheCoordinator) {
  const Job job = SomeJob(42);
  ASSERT_TRUE(Write(job, {SaveMove{*job.move}}));
  Reopen();
  const auto jobs = journal_->Load();
  ASSERT_TRUE(jobs);
  ASSERT_THAT(*jobs, SizeIs(1));
  const Job& read = jobs->front();
  EXPECT_EQ(read.id, 42U);
  EXPECT_EQ(read.start.restart_count, 3U);
  EXPECT_EQ(read.uid, 1000U);
  EXPECT_EQ(read.gid, 1001U);
  EXPECT_EQ(read.stage, Stage::kCommitting);
  EXPECT_EQ(read.options, job.options);
  EXPECT_EQ(read.vni, 42U);
  EXPECT_THAT(read.nodes(), ElementsAre("n1", "n2"));
  EXPECT_EQ(read.hostnames, job.hostnames);
  EXPECT_TRUE(read.started);
  EXPECT_EQ(read.first_checkpoint, 2U);
  EXPECT_EQ(read.next_checkpoint, 9U);
  EXPECT_EQ(read.saved, job.saved);
  EXPECT_EQ(read.bad, job.bad);
  EXPECT_FALSE(read.request.from_start);
  EXPECT_EQ(read.request.checkpoint, 6U);
  EXPECT_EQ(read.start.restore_job, 42U);
  EXPECT_EQ(read.start.restore_checkpoint, 7U);
  EXPECT_EQ(read.attempts, 1U);
  EXPECT_EQ(read.moves, 2U);
  EXPECT_TRUE(read.start.preemption_seen);
  EXPECT_FALSE(read.start.refused);
  EXPECT_FALSE(read.departure.hold);
  EXPECT_TRUE(read.departure.hurry);
  EXPECT_EQ(read.exclusions.next, job.exclusions.next);
  EXPECT_EQ(read.exclusions.set, job.exclusions.set);
  EXPECT_EQ(read.exclusions.user, job.exclusions.user);
  EXPECT_EQ(read.last_error, job.last_error);
  ASSERT_TRUE(read.checkpoint);
  EXPECT_EQ(read.checkpoint->number, 8U);
  EXPECT_TRUE(read.checkpoint->stop);
  EXPECT_EQ(read.checkpoint->begun_ns, 77);
  ASSERT_TRUE(read.move);
  EXPECT_EQ(read.move->reason, Reason::kMigrate);
  EXPECT_THAT(read.move->from, ElementsAre("n3", "n4"));
}

TEST_F(JournalTest, HistoryIsKeptPerJobAndReplacedByNumber) {
  Job job = SomeJob(1);
  job.checkpoint.reset();
  job.move.reset();
  ASSERT_TRUE(Write(job, {SaveCheckpoint{{.number = 1, .reason = Reason::kSave}},
                          TimelineEvent{.name = "cut", .unix_ns = 20, .pod = 1},
                          TimelineEvent{.name = "notice", .unix_ns = 10}}));
  ASSERT_TRUE(Write(
      job, {SaveCheckpoint{
               {.number = 1, .reason = Reason::kSave, .committed_ns = 5, .stored_bytes = 6}}}));
  ASSERT_TRUE(Write(SomeJob(2)));
  const auto checkpoints = journal_->Checkpoints(1);
  ASSERT_TRUE(checkpoints);
  ASSERT_THAT(*checkpoints, SizeIs(1));
  EXPECT_EQ(checkpoints->front().stored_bytes, 6U);
  const auto events = journal_->Events(1, 10);
  ASSERT_TRUE(events);
  ASSERT_THAT(*events, SizeIs(2));
  EXPECT_EQ(events->front().name, "notice");
  EXPECT_EQ(events->back().pod, 1);
  EXPECT_THAT(*journal_->Events(1, 1), SizeIs(1));
}

TEST_F(JournalTest, EventsOfAllJobsHaveNumbersThatNeverComeAgain) {
  ASSERT_TRUE(Write(SomeJob(1), {TimelineEvent{.name = "one", .unix_ns = 20}}));
  ASSERT_TRUE(Write(SomeJob(2), {TimelineEvent{.name = "two", .unix_ns = 10, .detail = "x"}}));
  const auto events = journal_->EventsAfter(0, 10);
  ASSERT_THAT(*events, SizeIs(2));
  EXPECT_EQ(events->front().event.name, "one");
  EXPECT_EQ(events->back().job_id, 2U);
  EXPECT_EQ(events->back().event.detail, "x");
  EXPECT_THAT(*journal_->EventsAfter(0, 1), SizeIs(1));
  const int64_t last = *journal_->LastEvent();
  EXPECT_EQ(last, events->back().number);
  EXPECT_THAT(*journal_->EventsAfter(last, 10), IsEmpty());
  ASSERT_TRUE(Forget(2));
  EXPECT_EQ(*journal_->LastEvent(), last);
  EXPECT_THAT(*journal_->Events(2, 10), IsEmpty());
  ASSERT_TRUE(Write(SomeJob(3), {TimelineEvent{.name = "three", .unix_ns = 5}}));
  ASSERT_THAT(*journal_->EventsAfter(last, 10), SizeIs(1));
  ASSERT_TRUE(Forget(3));
  EXPECT_GT(*journal_->LastEvent(), last);
}

TEST_F(JournalTest, OfAJobsHistoryTheNewestIsKept) {
  Job job = SomeJob(1);
  job.checkpoint.reset();
  std::vector<Action> history;
  constexpr unsigned kAll = kHistoryKept + 300;
  for (unsigned i = 1; i <= kAll; ++i) {
    history.push_back(TimelineEvent{.name = "cut", .unix_ns = i});
    history.push_back(SaveCheckpoint{{.number = i}});
    history.push_back(SaveMove{{.number = i}});
  }
  ASSERT_TRUE(Write(job, history));
  ASSERT_TRUE(Write(SomeJob(2), {TimelineEvent{.name = "cut", .unix_ns = 1}}));
  const auto events = journal_->Events(1, 2 * kAll);
  ASSERT_TRUE(events);
  EXPECT_THAT(*events, SizeIs(kHistoryKept));
  EXPECT_EQ(events->back().unix_ns, kAll);
  const auto checkpoints = journal_->Checkpoints(1);
  ASSERT_TRUE(checkpoints);
  ASSERT_THAT(*checkpoints, SizeIs(kHistoryKept));
  EXPECT_EQ(checkpoints->front().number, 301U);
  EXPECT_THAT(*journal_->Moves(1), SizeIs(kHistoryKept));
  EXPECT_THAT(*journal_->Events(2, 10), SizeIs(1)) << "each job has its own";
}

TEST_F(JournalTest, ABatchIsWrittenWholeOrNotAtAll) {
  ASSERT_TRUE(Write(SomeJob(1)));
  Tamper("CREATE TRIGGER no BEFORE INSERT ON moves BEGIN SELECT RAISE(ABORT, 'no'); END");
  Reopen();
  EXPECT_FALSE(Write(SomeJob(2), {TimelineEvent{.name = "cut"}, SaveMove{{.number = 1}}}));
  EXPECT_THAT(*journal_->Load(), SizeIs(1));
  EXPECT_THAT(*journal_->Events(2, 10), IsEmpty());
  EXPECT_TRUE(Write(SomeJob(2))) << "and the next one is not hindered by it";
}

TEST_F(JournalTest, AfterAProcessThatFellBehindNoJobIsTakenForNew) {
  ASSERT_TRUE(Write(SomeJob(10)));
  ASSERT_TRUE(journal_->SetBehind(true));
  ASSERT_TRUE(journal_->SetBehind(false));
  Reopen();
  EXPECT_EQ(*journal_->FirstJob(), 10U) << "it has caught up";
  ASSERT_TRUE(journal_->SetBehind(true));
  for (int i = 0; i < 2; ++i) {
    Reopen();
    EXPECT_EQ(*journal_->FirstJob(), UINT32_MAX);
  }
}

TEST_F(JournalTest, CheckpointInFlightIsWrittenWithoutAnAction) {
  Job job = SomeJob(1);
  job.checkpoint->stop = false;
  ASSERT_TRUE(Write(job));
  job.checkpoint->stop = true;
  ASSERT_TRUE(Write(job));
  Reopen();
  EXPECT_TRUE(journal_->Load()->front().checkpoint->stop);
}

TEST_F(JournalTest, AKilledProcessLosesNothingThatWasWritten) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto journal = Journal::Open(path_);
    if (!journal || !(*journal)->Write({.jobs = {{5, SomeJob(5)}}})) ::_exit(1);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  Reopen();
  EXPECT_THAT(*journal_->Load(), SizeIs(1));
}

TEST_F(JournalTest, ForgetsAndPrunes) {
  EXPECT_EQ(*journal_->FirstJob(), 0U);
  Job job = SomeJob(10);
  ASSERT_TRUE(Write(job));
  Job ended = SomeJob(11);
  ended.stage = Stage::kEnded;
  ended.aftermath.ended_well = true;
  ended.aftermath.kept_seconds = 7200;
  ASSERT_TRUE(Write(ended, {TimelineEvent{.name = "ended"}}));
  ASSERT_TRUE(journal_->Prune(INT64_MAX));
  const auto kept = journal_->Load();
  ASSERT_THAT(*kept, SizeIs(2)) << "something of it is in storage";
  EXPECT_TRUE(kept->back().aftermath.ended_well);
  EXPECT_EQ(kept->back().aftermath.kept_seconds, 7200u);
  EXPECT_FALSE(kept->back().aftermath.removed);
  ended.aftermath.removed = true;
  ASSERT_TRUE(Write(ended));
  ASSERT_TRUE(journal_->Prune(1));
  EXPECT_THAT(*journal_->Load(), SizeIs(2)) << "it ended after that";
  ASSERT_TRUE(journal_->Prune(INT64_MAX));
  EXPECT_THAT(*journal_->Load(), SizeIs(1));
  EXPECT_THAT(*journal_->Events(11, 10), IsEmpty());
  ASSERT_TRUE(Forget(10));
  EXPECT_THAT(*journal_->Load(), IsEmpty());
  EXPECT_EQ(*journal_->FirstJob(), 10U);
}

TEST_F(JournalTest, RemembersWhatCheckpointsHaveCost) {
  constexpr int64_t kSecond = 1'000'000'000;
  Job job = SomeJob(1);
  job.checkpoint.reset();
  for (uint32_t i = 1; i <= 10; ++i) {
    if (i == 9) continue;  // it failed
    job.Learn({.number = i,
               .ran_ns = 90 * kSecond,
               .begun_ns = i * 100 * kSecond,
               .committed_ns = (i * 100 + 2) * kSecond,
               .settled_ns = (i * 100 + 3) * kSecond,
               .raw_bytes = 1000,
               .stored_bytes = i});
    job.unsaved_ns = (i * 100 + 3) * kSecond;
  }
  ASSERT_TRUE(Write(job));
  Reopen();
  const Job read = journal_->Load()->front();
  ASSERT_THAT(read.costs, SizeIs(kCostsKept));
  EXPECT_EQ(read.costs.front().stored_bytes, 2U);
  EXPECT_FALSE(read.costs.front().first);
  EXPECT_EQ(read.costs.back().stored_bytes, 10U);
  EXPECT_EQ(read.costs.back().ran, std::chrono::seconds(90));
  EXPECT_EQ(read.costs.back().to_safe, std::chrono::seconds(2));
  EXPECT_EQ(read.costs.back().stopped, std::chrono::seconds(3));
  EXPECT_EQ(read.unsaved_ns, 1003 * kSecond);
}

TEST_F(JournalTest, AddsUpInterruptions) {
  using std::chrono::hours;
  EXPECT_EQ(journal_->Interrupted()->count, 0U);
  ASSERT_TRUE(Write(SomeJob(1), {Count{{.count = 1, .node_time = hours(2)}}}));
  ASSERT_TRUE(Write(SomeJob(1), {Count{{.node_time = hours(1)}}}));
  Reopen();
  EXPECT_EQ(journal_->Interrupted()->count, 1U);
  EXPECT_EQ(journal_->Interrupted()->node_time, hours(3));
}

TEST_F(JournalTest, NewerVersionIsRefused) {
  Tamper("PRAGMA user_version=99");
  const auto opened = Journal::Open(path_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::kUnsupported);
}

TEST_F(JournalTest, KeepsWhatARestartMustNotLose) {
  Job job = SomeJob(42);
  job.saved_once = true;
  job.requeue = false;
  job.start.eviction = Eviction{.requeued = true};
  job.checkpoint->precopied_ns = 99;
  job.start.wish = Wish{.reason = Reason::kPreemption, .stop = true, .deadline_unix_ms = 5};
  job.start.suspicion = Suspicion{"the pod died", {"n2"}};
  job.start.doubted_end.emplace().set_exit_code(3);
  ASSERT_TRUE(Write(job));
  Reopen();
  const auto jobs = journal_->Load();
  ASSERT_TRUE(jobs);
  ASSERT_THAT(*jobs, SizeIs(1));
  EXPECT_TRUE(static_cast<const Durable&>(jobs->front()) == static_cast<const Durable&>(job));
  EXPECT_THAT(jobs->front().pods, SizeIs(2)) << "one for each node, none of them heard of";
  EXPECT_EQ(journal_->Checkpoints(42)->front().precopied_ns, 99);
}

TEST_F(JournalTest, UnreadableRowIsReportedAndNotAnEmptyJob) {
  ASSERT_TRUE(Write(SomeJob(1)));
  ASSERT_TRUE(Write(SomeJob(2)));
  ASSERT_TRUE(Write(SomeJob(3)));
  Tamper(
      "UPDATE jobs SET job = x'ff00' WHERE job_id = 1;"
      "UPDATE jobs SET job = (SELECT job FROM jobs WHERE job_id = 3) WHERE job_id = 2");
  Reopen();
  for (int i = 0; i < 2; ++i) {
    const auto jobs = journal_->Load();
    ASSERT_TRUE(jobs) << jobs.error().message();
    ASSERT_THAT(*jobs, SizeIs(1));
    EXPECT_EQ(jobs->front().id, 3U);
    const auto unreadable = journal_->Unreadable();
    ASSERT_TRUE(unreadable);
    ASSERT_THAT(*unreadable, SizeIs(2));
    EXPECT_THAT(unreadable->at(2), HasSubstr("of job 3"));
    Reopen();
  }
  ASSERT_TRUE(Write(SomeJob(1)));
  EXPECT_THAT(*journal_->Unreadable(), SizeIs(1)) << "it is known again";
}

TEST_F(JournalTest, UnwritablePlaceIsNamed) {
  const auto opened = Journal::Open(directory_ + "/none/journal.db");
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message(), HasSubstr("/none/journal.db"));
}

}  // namespace
}  // namespace holdfast::coordinator
