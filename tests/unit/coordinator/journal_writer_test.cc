#include "coordinator/journal_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/harness.h"
#include "tests/unit/tiny_filesystem.h"

namespace holdfast::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class JournalWriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "/journal_writer_test." + std::to_string(::getpid());
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override {
    writer_.reset();
    journal_.reset();
    filesystem_.reset();
    std::filesystem::remove_all(directory_);
  }
  void Open(JournalWriter::Options options = {}) {
    auto journal = Journal::Open(directory_ + "/journal.db");
    ASSERT_TRUE(journal) << journal.error().message();
    journal_ = std::move(*journal);
    writer_ = std::make_unique<JournalWriter>(options, *journal_, metrics_,
                                              [this](JournalWriter::Ticket t) {
                                                ++calls_;
                                                written_ = t;
                                              });
  }
  bool MountTiny() {
    filesystem_ = std::make_unique<TinyFilesystem>(directory_);
    return filesystem_->mounted();
  }
  bool IsWritten(JournalWriter::Ticket ticket) {
    return Eventually([&] { return written_ >= ticket; });
  }
  static Job SomeJob(uint32_t id, Stage stage = Stage::kRunning) {
    Job job;
    job.id = id;
    job.stage = stage;
    return job;
  }
  std::vector<uint32_t> JobsOnDisk() {
    const std::vector<Job> jobs = journal_->Load().value_or(std::vector<Job>{});
    std::vector<uint32_t> ids;
    for (const Job& job : jobs) ids.push_back(job.id);
    return ids;
  }

  std::string directory_;
  std::unique_ptr<TinyFilesystem> filesystem_;
  std::unique_ptr<Journal> journal_;
  std::atomic<JournalWriter::Ticket> written_ = 0;
  std::atomic<int> calls_ = 0;
  Metrics metrics_;
  std::unique_ptr<JournalWriter> writer_;
};

TEST_F(JournalWriterTest, AChangeIsWaitedForAndNothingElseIs) {
  Open();
  Job job = SomeJob(1);
  const JournalWriter::Ticket ticket = writer_->Note(job, {});
  ASSERT_NE(ticket, 0U);
  ASSERT_TRUE(IsWritten(ticket));
  EXPECT_THAT(JobsOnDisk(), ElementsAre(1U));
  job.pods.resize(3);  // wardens will say it again
  EXPECT_EQ(writer_->Note(job, {TimelineEvent{.name = "cut"}}), 0U);
  job.stage = Stage::kFreezing;
  EXPECT_GT(writer_->Note(job, {}), ticket);
}

TEST_F(JournalWriterTest, WhatIsSaidBehindAChangeWaitsForItToo) {
  Open();
  Job job = SomeJob(1);
  const JournalWriter::Ticket ticket = writer_->Note(job, {});
  const JournalWriter::Ticket behind = writer_->Note(job, {});
  EXPECT_TRUE(behind == ticket || (behind == 0 && written_ >= ticket));
}

TEST_F(JournalWriterTest, WhatIsInTheJournalIsNotWrittenAgain) {
  Open();
  writer_->Know(SomeJob(1));
  EXPECT_EQ(writer_->Note(SomeJob(1), {}), 0U);
  EXPECT_NE(writer_->Note(SomeJob(1, Stage::kHeld), {}), 0U);
}

TEST_F(JournalWriterTest, ManyJobsAreOneTransaction) {
  Open();
  constexpr int kJobs = 2000;
  JournalWriter::Ticket last = 0;
  for (uint32_t id = 1; id <= kJobs; ++id) last = writer_->Note(SomeJob(id), {});
  ASSERT_TRUE(IsWritten(last));
  EXPECT_LT(calls_, kJobs / 4);
  EXPECT_THAT(JobsOnDisk(), SizeIs(kJobs));
}

TEST_F(JournalWriterTest, HistoryWaitsForMoreAndIsThereMeanwhile) {
  Open({.history_pause = std::chrono::hours(1)});
  ASSERT_TRUE(IsWritten(writer_->Note(SomeJob(1), {})));
  writer_->Note(SomeJob(1), {SaveCheckpoint{{.number = 1, .reason = Reason::kSave}},
                             SaveMove{{.number = 1, .reason = Reason::kSpot}},
                             TimelineEvent{.name = "notice", .unix_ns = 20}});
  writer_->Add(1, SaveCheckpoint{{.number = 1, .committed_ns = 7}});
  writer_->Add(1, TimelineEvent{.name = "due", .unix_ns = 10});
  writer_->Add(2, TimelineEvent{.name = "another's", .unix_ns = 10});
  const auto history = writer_->HistoryOf(1, 10);
  ASSERT_TRUE(history) << history.error().message();
  ASSERT_THAT(history->checkpoints, SizeIs(1));
  EXPECT_EQ(history->checkpoints[0].committed_ns, 7);
  ASSERT_THAT(history->moves, SizeIs(1));
  ASSERT_THAT(history->events, SizeIs(2));
  EXPECT_EQ(history->events[0].name, "due");
  EXPECT_THAT(writer_->HistoryOf(1, 1)->events, SizeIs(1)) << "the newest";
  EXPECT_THAT(*journal_->Events(1, 10), IsEmpty());
  writer_->Stop();
  EXPECT_THAT(*journal_->Events(1, 10), SizeIs(2)) << "nothing is left behind";
  EXPECT_THAT(writer_->HistoryOf(1, 10)->events, SizeIs(2));
}

TEST_F(JournalWriterTest, HistoryIsWrittenAfterAMoment) {
  Open({.history_pause = std::chrono::milliseconds(20)});
  writer_->Add(1, TimelineEvent{.name = "cut"});
  EXPECT_TRUE(Eventually([&] { return journal_->Events(1, 10)->size() == 1; }));
}

TEST_F(JournalWriterTest, AnotherJobWithItsIdBeginsWithNothing) {
  Open();
  ASSERT_TRUE(IsWritten(writer_->Note(SomeJob(1), {TimelineEvent{.name = "old"}})));
  writer_->Add(1, TimelineEvent{.name = "old too"});
  writer_->Forget(1);
  ASSERT_TRUE(IsWritten(writer_->Note(SomeJob(1), {TimelineEvent{.name = "new"}})));
  const auto history = writer_->HistoryOf(1, 10);
  ASSERT_THAT(history->events, SizeIs(1));
  EXPECT_EQ(history->events[0].name, "new");
}

TEST_F(JournalWriterTest, AFullDiskHoldsUpNobodyAndIsMadeUpFor) {
  if (!MountTiny()) GTEST_SKIP() << "cannot mount a tmpfs here";
  Open({.retry_pause = std::chrono::milliseconds(20)});
  ASSERT_TRUE(IsWritten(writer_->Note(SomeJob(1), {})));
  filesystem_->Fill();
  ASSERT_TRUE(IsWritten(writer_->Note(SomeJob(2), {TimelineEvent{.name = "cut"}})));
  ASSERT_TRUE(Eventually([&] { return !writer_->health().error.empty(); }));
  EXPECT_NE(writer_->health().since_ns, 0);
  EXPECT_TRUE(Eventually([&] { return writer_->health().jobs == 1; }));
  EXPECT_TRUE(
      Eventually([&] { return std::filesystem::exists(directory_ + "/journal.db.behind"); }));
  EXPECT_EQ(writer_->Note(SomeJob(3), {}), 0U) << "there is no use in waiting";
  EXPECT_THAT(JobsOnDisk(), ElementsAre(1U));
  EXPECT_THAT(writer_->HistoryOf(2, 10)->events, SizeIs(1));
  filesystem_->Empty();
  ASSERT_TRUE(Eventually([&] { return writer_->health().error.empty(); }));
  EXPECT_TRUE(
      Eventually([&] { return !std::filesystem::exists(directory_ + "/journal.db.behind"); }));
  EXPECT_THAT(JobsOnDisk(), ElementsAre(1U, 2U, 3U));
  EXPECT_THAT(*journal_->Events(2, 10), SizeIs(1));
}

// The whole coordinator on a disk that fills up.
class FullDiskTest : public CoordinatorTest {
 protected:
  void SetUp() override {
    options_.writing.retry_pause = std::chrono::milliseconds(20);
    directory_ = ::testing::TempDir() + "/full_disk_test." + std::to_string(::getpid());
    std::filesystem::create_directories(directory_);
    filesystem_ = std::make_unique<TinyFilesystem>(directory_);
    if (!filesystem_->mounted()) GTEST_SKIP() << "cannot mount a tmpfs here";
    StartCoordinator();
    StartJob({"n1"});
    ASSERT_TRUE(Reaches(Stage::kRunning));
    // Submitted with --no-requeue, as the journal knows: only a checkpoint brings it back.
    ASSERT_TRUE(Eventually([&] {
      const Job job = journal_->Load()->front();
      return job.stage == Stage::kRunning && job.requeue == false;
    }));
    filesystem_->Fill();
  }
  void TearDown() override {
    wardens_.clear();
    StopCoordinator();
    filesystem_.reset();
    std::filesystem::remove_all(directory_);
  }
  void Save() {
    const auto number = controller_->Save(kJob, Wish{.reason = Reason::kSave});
    ASSERT_TRUE(number) << number.error().message();
    const auto checkpoint = controller_->Await(kJob, *number, std::chrono::seconds(10));
    ASSERT_TRUE(checkpoint) << checkpoint.error().message();
    EXPECT_NE(checkpoint->committed_ns, 0);
  }
  std::unique_ptr<TinyFilesystem> filesystem_;
};

TEST_F(FullDiskTest, JobsAreSavedAndMovedAllTheSame) {
  Save();
  EXPECT_FALSE(controller_->journal_health().error.empty());
  slurm_.Change(kJob, [](Record& job) { job.preempt_time = job.start_time + 1; });
  wardens_[0]->Notify(SIGTERM);
  ASSERT_TRUE(Reaches(Stage::kWaiting));
  StartJob({"n2"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  EXPECT_EQ(wardens_[0]->welcome().restore_checkpoint(), 2U);
  EXPECT_THAT(HistoryOf(kJob).checkpoints, SizeIs(2));
  filesystem_->Empty();
  ASSERT_TRUE(Eventually([&] { return controller_->journal_health().error.empty(); }));
  EXPECT_THAT(journal_->Load()->front().start.nodes, ElementsAre("n2"));
}

TEST_F(FullDiskTest, AfterARestartStorageIsBelievedAndNotTheStaleJournal) {
  Save();
  StopCoordinator();
  wardens_.clear();
  StartCoordinator();  // the disk is still full
  ASSERT_TRUE(controller_);
  EXPECT_THAT(Get().saved, IsEmpty()) << "it does not know of checkpoint 1";
  slurm_.Change(kJob, [](Record& job) {
    job.state = Record::State::kPending;  // its node failed
    job.nodes.clear();
    ++job.restart_count;
  });
  ASSERT_TRUE(Reaches(Stage::kWaiting));
  StartJob({"n2"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  EXPECT_EQ(wardens_[0]->welcome().restore_job(), kJob);
  EXPECT_EQ(wardens_[0]->welcome().restore_checkpoint(), 1U);
}

TEST_F(FullDiskTest, AJobThatIsNotInTheJournalIsNotTakenForNewAfterwards) {
  constexpr uint32_t kLater = kJob + 1;
  const auto first = std::move(wardens_);
  StartJob({"n2"}, kLater);
  ASSERT_TRUE(Reaches(Stage::kRunning, kLater));
  StopCoordinator();
  wardens_.clear();
  filesystem_->Empty();
  StartCoordinator();
  EXPECT_FALSE(controller_->Find(kLater));
  slurm_.Change(kLater, [](Record& job) { ++job.restart_count; });
  Attach({"n2"}, kLater);
  ASSERT_TRUE(Eventually([&] { return controller_->Find(kLater).has_value(); }));
  EXPECT_TRUE(Get(kLater).started);
}

}  // namespace
}  // namespace holdfast::coordinator
