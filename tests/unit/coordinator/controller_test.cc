#include "coordinator/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "tests/unit/coordinator/harness.h"

namespace holdfast::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ControllerTest : public CoordinatorTest {};

TEST_F(ControllerTest, PreemptedJobComesBackOnOtherNodes) {
  StartJob({"n1", "n2"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  EXPECT_EQ(wardens_[0]->welcome().credential(), "999:holdfast-coordinator 4242 warden's");
  EXPECT_EQ(wardens_[0]->welcome().network().vni(), kJob * kVnisOfAJob);
  EXPECT_EQ(wardens_[0]->welcome().network().mtu(), 1449U);

  slurm_.Change(kJob, [](Record& job) { job.preempt_time = job.start_time + 1; });
  wardens_[0]->Notify(SIGTERM);
  wardens_[1]->Notify(SIGTERM);
  ASSERT_TRUE(Reaches(Stage::kWaiting));
  EXPECT_EQ(wardens_[1]->phase(), v1::PHASE_RELEASED);
  ASSERT_TRUE(Eventually([&] { return slurm_.Get(kJob).begin_time <= NowNs() / 1'000'000'000; }))
      << "eligible at once";

  StartJob({"n3", "n4"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  EXPECT_EQ(wardens_[0]->welcome().network().vni(), kJob * kVnisOfAJob + 1) << "another start";
  EXPECT_EQ(wardens_[0]->welcome().restore_checkpoint(), 1U);
  EXPECT_EQ(wardens_[0]->welcome().network().peers(1).hostname(), "n2");
  EXPECT_EQ(wardens_[0]->welcome().network().peers(1).node(), "n4");
  const std::vector<Move> moves = HistoryOf(kJob).moves;
  ASSERT_EQ(moves.size(), 1U);
  EXPECT_THAT(moves.front().from, ElementsAre("n1", "n2"));
  EXPECT_THAT(moves.front().to, ElementsAre("n3", "n4"));
  EXPECT_GT(moves.front().running_ns, moves.front().left_ns);
}

TEST_F(ControllerTest, PreemptTimeIsSeenWithoutASignal) {
  StartJob({"n1"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  slurm_.Change(kJob, [](Record& job) { job.preempt_time = job.start_time + 1; });
  EXPECT_TRUE(Reaches(Stage::kWaiting));
}

TEST_F(ControllerTest, OtherSignalsAreDelivered) {
  StartJob({"n1"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  wardens_[0]->Notify(SIGUSR1);
  EXPECT_TRUE(Eventually([&] { return wardens_[0]->delivered == 1; }));
  wardens_[0]->Notify(SIGTERM);
  EXPECT_TRUE(Eventually([&] { return wardens_[0]->delivered == 2; }));
  EXPECT_EQ(Get().stage, Stage::kRunning);
}

TEST_F(ControllerTest, SaveWaitsForTheCommit) {
  StartJob({"n1", "n2"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  const auto number = controller_->Save(kJob, Wish{.reason = Reason::kSave});
  ASSERT_TRUE(number) << number.error().message();
  const auto checkpoint = controller_->Await(kJob, *number, std::chrono::seconds(10));
  ASSERT_TRUE(checkpoint);
  EXPECT_NE(checkpoint->committed_ns, 0);
  EXPECT_EQ(checkpoint->raw_bytes, 2000U);
  EXPECT_EQ(controller_->Save(1, Wish{}).error().code(), Code::kNotFound);
}

TEST_F(ControllerTest, FailedSaveIsReportedEverywhere) {
  StartJob({"n1", "n2"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  wardens_[1]->fail_prepare = true;
  const auto number = controller_->Save(kJob, Wish{.reason = Reason::kSave});
  ASSERT_TRUE(number);
  const auto checkpoint = controller_->Await(kJob, *number, std::chrono::seconds(10));
  ASSERT_TRUE(checkpoint);
  EXPECT_THAT(checkpoint->error, HasSubstr("criu dump failed"));
  EXPECT_TRUE(Eventually([&] {
    return slurm_.CommentOf(kJob) ==
           "holdfast: checkpoint 1: pod 1 on n2: criu dump failed; next: save it again; if that "
           "fails too, show this to your administrator";
  }));
  EXPECT_EQ(Get().last_error, checkpoint->error);
  EXPECT_TRUE(Reaches(Stage::kRunning));
}

TEST_F(ControllerTest, CoordinatorKilledBeforeItLearnsOfTheCommit) {
  StartJob({"n1", "n2"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  wardens_[0]->hold_commit = true;
  ASSERT_TRUE(controller_->Save(kJob, Wish{.reason = Reason::kMigrate, .stop = true}));
  ASSERT_TRUE(Eventually([&] { return wardens_[0]->phase() == v1::PHASE_COMMITTED; }));
  StopCoordinator();
  for (auto& warden : wardens_) warden->Disconnect();
  StartCoordinator();
  EXPECT_EQ(Get().stage, Stage::kCommitting);
  // The port is another one now: new streams for the same pods.
  const std::vector<std::string> nodes{"n1", "n2"};
  std::vector<std::unique_ptr<FakeWarden>> back;
  for (uint32_t pod = 0; pod < 2; ++pod) {
    v1::Hello hello = MakeHello(kJob, 0, pod, nodes, kUser);
    hello.set_phase(pod == 0 ? v1::PHASE_COMMITTED : v1::PHASE_PREPARED);
    hello.set_checkpoint(1);
    hello.set_committed(pod == 0 ? 1 : 0);
    back.push_back(std::make_unique<FakeWarden>(address(), storage_, hello));
  }
  EXPECT_TRUE(Reaches(Stage::kWaiting));
  EXPECT_EQ(slurm_.requeues, 1);
  EXPECT_THAT(Get().saved, ElementsAre(1U));
}

TEST_F(ControllerTest, CoordinatorRestartLeavesARunningJobAlone) {
  StartJob({"n1", "n2"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  StopCoordinator();
  StartCoordinator();
  EXPECT_EQ(Get().stage, Stage::kRunning);
  const std::vector<std::string> nodes{"n1", "n2"};
  std::vector<std::unique_ptr<FakeWarden>> back;
  for (uint32_t pod = 0; pod < 2; ++pod) {
    v1::Hello hello = MakeHello(kJob, 0, pod, nodes, kUser);
    hello.set_phase(v1::PHASE_RUNNING);
    back.push_back(std::make_unique<FakeWarden>(address(), storage_, hello));
  }
  ASSERT_TRUE(Eventually([&] { return Get().can_save(); }));
  const auto number = controller_->Save(kJob, Wish{.reason = Reason::kSave});
  ASSERT_TRUE(number) << number.error().message();
  EXPECT_NE(controller_->Await(kJob, *number, std::chrono::seconds(10))->committed_ns, 0);
}

TEST_F(ControllerTest, RequeueIsRepeatedUntilSlurmTakesIt) {
  StartJob({"n1"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  slurm_.refuse_requeue = 2;
  ASSERT_TRUE(
      controller_->Save(kJob, Wish{.reason = Reason::kMigrate, .stop = true, .excluded = {"n1"}}));
  ASSERT_TRUE(Reaches(Stage::kWaiting));
  EXPECT_EQ(slurm_.requeues, 1);
  EXPECT_TRUE(Eventually([&] { return slurm_.Get(kJob).excluded.size() == 1; }));
}

TEST_F(ControllerTest, LostWardenIsNoticedAndTheJobRestored) {
  StartJob({"n1", "n2"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  const auto number = controller_->Save(kJob, Wish{.reason = Reason::kSave});
  ASSERT_TRUE(number);
  ASSERT_TRUE(controller_->Await(kJob, *number, std::chrono::seconds(10)));
  ASSERT_TRUE(Reaches(Stage::kRunning));
  wardens_[1]->Disconnect();
  EXPECT_TRUE(Reaches(Stage::kWaiting));
  EXPECT_TRUE(
      Eventually([&] { return slurm_.Get(kJob).excluded == std::vector<std::string>{"n2"}; }));
}

TEST_F(ControllerTest, FailingRestoreEndsHeldWithTheReason) {
  StartJob({"n1"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  ASSERT_TRUE(controller_->Save(kJob, Wish{.reason = Reason::kMigrate, .stop = true}));
  for (int attempt = 0; attempt < 3; ++attempt) {
    ASSERT_TRUE(Reaches(Stage::kWaiting)) << attempt;
    slurm_.Run(kJob, kUser, {"n2"});
    wardens_.clear();
    wardens_.push_back(std::make_unique<FakeWarden>(
        address(), storage_, MakeHello(kJob, slurm_.Get(kJob).restart_count, 0, {"n2"}, kUser)));
    wardens_[0]->fail_create = true;
    ASSERT_TRUE(Eventually([&] {
      return slurm_.Get(kJob).state == Record::State::kPending || Get().stage == Stage::kRunning;
    }));
    if (Get().stage == Stage::kRunning) GTEST_FAIL() << "the fault came too late";
  }
  ASSERT_TRUE(Reaches(Stage::kHeld));
  EXPECT_TRUE(slurm_.Get(kJob).held);
  EXPECT_TRUE(Eventually(
      [&] { return slurm_.CommentOf(kJob).find("criu restore failed") != std::string::npos; }));
  ASSERT_TRUE(controller_->ResumeJob(kJob, Resume{}));
  EXPECT_TRUE(Eventually([&] { return !slurm_.Get(kJob).held; }));
}

TEST_F(ControllerTest, SlurmBeingAwayIsWaitedFor) {
  StartJob({"n1"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  slurm_.away = true;
  wardens_[0]->Notify(SIGTERM);
  slurm_.Change(kJob, [](Record& job) { job.preempt_time = job.start_time + 1; });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(Get().stage, Stage::kRunning);
  slurm_.away = false;
  EXPECT_TRUE(Reaches(Stage::kWaiting));
}

TEST_F(ControllerTest, NewJobWithAnOldIdStartsAnew) {
  StartJob({"n1"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  ASSERT_TRUE(controller_->Save(kJob, Wish{.reason = Reason::kSave}));
  ASSERT_TRUE(Eventually([&] { return !Get().checkpoint; }));
  slurm_.Change(kJob, [](Record& job) { job.state = Record::State::kTerminal; });
  wardens_.clear();
  ASSERT_TRUE(Reaches(Stage::kEnded));
  StartJob({"n2"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  EXPECT_EQ(wardens_[0]->welcome().restore_job(), 0U);
  EXPECT_TRUE(HistoryOf(kJob).checkpoints.empty());
}

// Slurm lost its state, and the id was given out again before anybody missed the job that had it.
TEST_F(ControllerTest, AJobThatWasSubmittedAnotherTimeIsAnotherJob) {
  const auto hello = [&](const char* submitted, uint32_t start, v1::Phase phase) {
    v1::Hello said = MakeHello(kJob, start, 0, {"n1"}, kUser);
    said.set_cluster("lab");
    said.set_submitted(submitted);
    said.set_phase(phase);
    return said;
  };
  constexpr const char *kOld = "20261128T004824Z", *kNew = "20261201T000000Z";
  slurm_.Run(kJob, kUser, {"n1"});
  FakeWarden old(address(), storage_, hello(kOld, 0, v1::PHASE_FRESH));
  ASSERT_TRUE(Reaches(Stage::kRunning));
  ASSERT_TRUE(controller_->Save(kJob, Wish{.reason = Reason::kSave}));
  ASSERT_TRUE(Eventually([&] { return !Get().checkpoint; }));
  {
    const std::lock_guard lock(storage_.mutex);
    storage_.committed.clear();  // the new job's place is another one
  }
  FakeWarden later(address(), storage_, hello(kNew, 0, v1::PHASE_FRESH));
  ASSERT_TRUE(Eventually([&] { return Get().submitted == kNew; }));
  ASSERT_TRUE(Reaches(Stage::kRunning));
  EXPECT_EQ(later.welcome().restore_job(), 0U);
  EXPECT_EQ(Get().cluster, "lab");
  EXPECT_TRUE(Get().saved.empty());
  EXPECT_TRUE(HistoryOf(kJob).checkpoints.empty());
  // A warden of the old one is still somewhere.
  FakeWarden left(address(), storage_, hello(kOld, 0, v1::PHASE_RUNNING));
  EXPECT_TRUE(Eventually([&] { return left.refusal().contains("is over"); })) << left.refusal();
  EXPECT_EQ(Get().submitted, kNew);
  EXPECT_TRUE(Get().can_save());
}

TEST_F(ControllerTest, AJobWhoseRowIsUnreadableIsNotTakenForNew) {
  StartJob({"n1"}, 5);  // the first ever: any later one that is unknown is new
  ASSERT_TRUE(Reaches(Stage::kRunning, 5));
  StartJob({"n1"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  StopCoordinator();
  wardens_.clear();
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open((directory_ + "/journal.db").c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(database, "UPDATE jobs SET job = x'ff' WHERE job_id = 4242", nullptr,
                         nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(database);
  StartCoordinator();
  EXPECT_FALSE(controller_->Find(kJob)) << "not an empty job either";
  StartJob({"n1"});
  ASSERT_TRUE(Reaches(Stage::kHeld) || Reaches(Stage::kLeaving));
  EXPECT_NE(Get().last_error.find("no committed checkpoint"), std::string::npos);
}

TEST_F(ControllerTest, VnisOfJobsDiffer) {
  StartJob({"n1"}, 5);
  ASSERT_TRUE(Reaches(Stage::kRunning, 5));
  const auto first = std::move(wardens_);
  constexpr uint32_t kOther = 5 + (1U << 24);
  StartJob({"n2"}, kOther);
  ASSERT_TRUE(Reaches(Stage::kRunning, kOther));
  EXPECT_EQ(Get(5).vni, 5 * kVnisOfAJob);
  EXPECT_EQ(Get(kOther).vni, 6 * kVnisOfAJob);
}

}  // namespace
}  // namespace holdfast::coordinator
