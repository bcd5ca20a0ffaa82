// Nodes that are emptied: by a notice of the cloud, by request, by a reason in Slurm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/harness.h"

namespace holdfast::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class EvacuateTest : public CoordinatorTest {
 protected:
  static constexpr uint32_t kOther = 4243;

  void SetUp() override {
    CoordinatorTest::SetUp();
    StartJob({"n1", "n2"});
    ASSERT_TRUE(Reaches(Stage::kRunning));
    first_ = std::move(wardens_);
  }
  void TearDown() override {
    first_.clear();
    CoordinatorTest::TearDown();
  }
  // A second job, whose warden is in wardens_.
  void StartOther(const std::string& node) {
    StartJob({node}, kOther);
    ASSERT_TRUE(Reaches(Stage::kRunning, kOther));
  }
  static v1::FromWarden SpotNotice() {
    v1::FromWarden message;
    message.mutable_notice()->set_kind(v1::Notice::SPOT);
    message.mutable_notice()->set_deadline_unix_ms(NowNs() / 1'000'000 + 30'000);
    message.mutable_notice()->set_detail("gce: instance/preempted is TRUE");
    return message;
  }
  std::vector<std::string> Excluded(uint32_t job_id) {
    // Written after the job has become pending.
    Eventually([&] { return !slurm_.Get(job_id).excluded.empty(); });
    return slurm_.Get(job_id).excluded;
  }

  std::vector<std::unique_ptr<FakeWarden>> first_;
};

TEST_F(EvacuateTest, ASpotNoticeConcernsAllJobsOfTheNodeAndNoOthers) {
  StartOther("n2");
  first_[1]->Send(SpotNotice());
  ASSERT_TRUE(Reaches(Stage::kWaiting));
  ASSERT_TRUE(Reaches(Stage::kWaiting, kOther));
  EXPECT_THAT(Excluded(kJob), ElementsAre("n2")) << "n1 stays";
  EXPECT_THAT(Excluded(kOther), ElementsAre("n2"));
  ASSERT_TRUE(Eventually([&] { return slurm_.Node("n2").draining; }));
  EXPECT_EQ(slurm_.Node("n2").reason,
            "holdfast: the cloud takes it back: gce: instance/preempted is TRUE");
  EXPECT_FALSE(slurm_.Node("n1").draining);
  const std::vector<Move> moves = HistoryOf(kJob).moves;
  ASSERT_EQ(moves.size(), 1U);
  EXPECT_EQ(moves.front().reason, Reason::kSpot);
}

TEST_F(EvacuateTest, OtherNodesJobsGoOn) {
  StartOther("n3");
  first_[0]->Send(SpotNotice());
  ASSERT_TRUE(Reaches(Stage::kWaiting));
  EXPECT_EQ(Get(kOther).stage, Stage::kRunning);
}

TEST_F(EvacuateTest, AnOperatorHasTheNodesRootDrainIt) {
  slurm_.deny_drain = true;
  first_[0]->Send(SpotNotice());
  EXPECT_TRUE(Eventually([&] { return !first_[0]->drain_reason().empty(); }));
  EXPECT_THAT(first_[0]->drain_reason(), StartsWith("holdfast: the cloud takes it back"));
  EXPECT_EQ(first_[1]->drain_reason(), "");
  EXPECT_TRUE(Reaches(Stage::kWaiting));
}

TEST_F(EvacuateTest, TheSameNoticeTwiceIsOne) {
  first_[1]->Send(SpotNotice());
  first_[1]->Send(SpotNotice());
  first_[0]->Send(SpotNotice());
  ASSERT_TRUE(Reaches(Stage::kWaiting));
  EXPECT_EQ(HistoryOf(kJob).checkpoints.size(), 1U);
  EXPECT_EQ(slurm_.requeues, 1);
}

TEST_F(EvacuateTest, AFailedSaveIsTriedAgainThenTheJobRunsOnWithItsOldCheckpoint) {
  first_[0]->fail_prepare = true;
  first_[1]->Send(SpotNotice());
  EXPECT_TRUE(Eventually(
      [&] { return HistoryOf(kJob).checkpoints.size() == 2 && Get().stage == Stage::kRunning; }));
  EXPECT_THAT(Get().last_error, HasSubstr("criu dump failed"));
}

TEST_F(EvacuateTest, AJobThatSlurmSendsThereAllTheSameIsSentAway) {
  const auto jobs =
      controller_->Evacuate({.node = "n3", .cause = Reason::kEvacuate, .reason = "why"});
  ASSERT_TRUE(jobs) << jobs.error().message();
  EXPECT_THAT(*jobs, IsEmpty());
  StartJob({"n3"}, kOther);
  ASSERT_TRUE(Reaches(Stage::kWaiting, kOther));
  EXPECT_THAT(Excluded(kOther), ElementsAre("n3"));
}

TEST_F(EvacuateTest, ByRequest) {
  const auto jobs =
      controller_->Evacuate({.node = "n1", .cause = Reason::kEvacuate, .reason = "why"});
  ASSERT_TRUE(jobs) << jobs.error().message();
  EXPECT_THAT(*jobs, ElementsAre(kJob));
  EXPECT_EQ(slurm_.Node("n1").reason, "why");
  ASSERT_TRUE(Reaches(Stage::kWaiting));
  EXPECT_EQ(HistoryOf(kJob).moves.at(0).reason, Reason::kEvacuate);
}

TEST_F(EvacuateTest, ByRequestOfANodeThatCannotBeDrained) {
  EXPECT_EQ(controller_->Evacuate({.node = "n9", .cause = Reason::kEvacuate}).error().code(),
            Code::kNotFound);
  slurm_.deny_drain = true;
  const auto refused = controller_->Evacuate({.node = "n3", .cause = Reason::kEvacuate});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("scontrol update NodeName=n3 State=DRAIN"));
  const auto jobs =
      controller_->Evacuate({.node = "n1", .cause = Reason::kEvacuate, .reason = "why"});
  ASSERT_TRUE(jobs);
  EXPECT_TRUE(Eventually([&] { return first_[0]->drain_reason() == "why"; }));
}

class EvacuateReasonTest : public EvacuateTest {
 protected:
  EvacuateReasonTest() { options_.evacuate_reason = "interruption"; }
};

TEST_F(EvacuateReasonTest, ByAReasonInSlurm) {
  ASSERT_TRUE(slurm_.DrainAsRoot("n1", "disk broken"));
  ASSERT_TRUE(slurm_.DrainAsRoot("n2", "spot interruption"));
  ASSERT_TRUE(Reaches(Stage::kWaiting));
  EXPECT_THAT(Excluded(kJob), ElementsAre("n2"));
}

TEST_F(EvacuateReasonTest, AReloadChangesTheReasonAndLosesNoJob) {
  Controller::Options options = options_;
  options.evacuate_reason = "maintenance";
  options.poll_interval = std::chrono::milliseconds(30);
  options.policy.restore_attempts = 7;
  controller_->Reload(options);
  EXPECT_EQ(controller_->policy().restore_attempts, 7U);
  ASSERT_TRUE(slurm_.DrainAsRoot("n1", "spot interruption"));
  ASSERT_TRUE(slurm_.DrainAsRoot("n2", "maintenance"));
  ASSERT_TRUE(Reaches(Stage::kWaiting));
  EXPECT_THAT(Excluded(kJob), ElementsAre("n2"));
}

TEST_F(EvacuateReasonTest, ANodeInUseAgainIsANodeLikeOthers) {
  ASSERT_TRUE(slurm_.DrainAsRoot("n2", "spot interruption"));
  ASSERT_TRUE(Reaches(Stage::kWaiting));
  slurm_.Resume("n2");
  // Two polls later it is forgotten.
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  StartOther("n2");
  EXPECT_EQ(Get(kOther).stage, Stage::kRunning);
}

}  // namespace
}  // namespace holdfast::coordinator
