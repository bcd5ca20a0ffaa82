// Slurm preempts a job, requeues it, or forgets that it has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/state_fixture.h"

namespace holdfast::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using PreemptionTest = StateTest;

TEST_F(PreemptionTest, PreemptionSavesRequeuesAndRestores) {
  Run();
  Preempt();
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
  EXPECT_EQ(world.deliveries, 0) << "the notice is not the job's";
  EXPECT_EQ(world.requeues, 1);
  EXPECT_THAT(world.job.hostnames, ElementsAre("n1", "n2"));
  EXPECT_THAT(world.job.nodes(), ElementsAre("n3", "n4"));
  std::vector<std::string> names;
  for (const TimelineEvent& event : world.events) names.push_back(event.name);
  EXPECT_THAT(names, ElementsAre("nodes", "running", "notice", "prepared", "committed", "released",
                                 "requeued", "nodes", "restored", "running"));
}

TEST_F(PreemptionTest, HeldBySlurmForTooManyRequeuesItIsReleased) {
  Run();
  Preempt();
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kLeaving);
  world.slurm.held = world.slurm.requeued_too_often = true;
  world.Vacate();
  EXPECT_EQ(world.job.stage, Stage::kWaiting);
  EXPECT_FALSE(world.slurm.held);
}

TEST_F(PreemptionTest, PreemptedToItsEndItIsBroughtBack) {
  Run();
  Preempt();
  world.Settle();
  ASSERT_EQ(world.requeues, 1);
  world.slurm.state = Record::State::kTerminal;
  world.slurm.state_name = "PREEMPTED";
  world.slurm.completing = false;
  world.Fire(TimerKind::kAsk);
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_EQ(world.requeues, 2);
}

TEST_F(PreemptionTest, IfSlurmTakesTheEndOfTheReleasedStepForTheJobsItIsBroughtBack) {
  Run();
  Preempt();
  world.Settle();
  ASSERT_EQ(world.requeues, 1);
  world.slurm.state = Record::State::kTerminal;
  world.slurm.state_name = "FAILED";
  world.slurm.restart_count = world.job.start.restart_count;
  world.Clean();
  world.Fire(TimerKind::kAsk);
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_EQ(world.requeues, 2);
}

TEST_F(PreemptionTest, ARequeueThatSlurmForgetsWhileTheJobIsQueuedIsAskedForAgain) {
  Run();
  Preempt();
  world.Settle();
  world.Vacate();
  ASSERT_EQ(world.job.stage, Stage::kWaiting);
  world.slurm.state = Record::State::kTerminal;
  world.slurm.state_name = "FAILED";
  world.slurm.restart_count = world.job.start.restart_count;
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  world.RunThroughQueue();
  EXPECT_EQ(world.requeues, 2);
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

// As "Job credential revoked": slurmctld takes it for the job's end.
TEST_F(PreemptionTest, AStartThatSlurmCannotLaunchIsTriedAgain) {
  Run();
  Preempt();
  world.Settle();
  for (uint32_t attempt = 1; attempt < world.policy.restore_attempts; ++attempt) {
    world.slurm.state = Record::State::kTerminal;
    world.slurm.state_name = "FAILED";
    world.slurm.restart_count = world.job.start.restart_count + 1;
    world.Clean();
    world.Fire(TimerKind::kAsk);
    world.Settle();
    EXPECT_EQ(world.job.stage, Stage::kLeaving);
    EXPECT_EQ(world.requeues, 1 + static_cast<int>(attempt));
  }
}

TEST_F(PreemptionTest, TheReleasedStepsEndIsNotTheJobsWhileItIsCompletingEither) {
  Run();
  Preempt();
  world.Settle();
  world.slurm.state = Record::State::kTerminal;
  world.slurm.state_name = "FAILED";
  world.slurm.restart_count = world.job.start.restart_count;
  world.slurm.completing = true;
  world.Fire(TimerKind::kAsk);
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  world.Clean();
  world.Fire(TimerKind::kAsk);
  world.Settle();
  EXPECT_EQ(world.requeues, 2);
}

TEST_F(PreemptionTest, SigtermThatIsNotPreemptionIsDelivered) {
  Run();
  ASSERT_TRUE(world.Happen(Sigterm(), 0));
  for (uint32_t i = 0; i + 1 < world.policy.notice_lookups; ++i) {
    world.Settle();
    EXPECT_EQ(world.deliveries, 0);
    world.Fire(TimerKind::kNotice);
  }
  world.Settle();
  EXPECT_EQ(world.deliveries, 1);
  EXPECT_THAT(world.committed, IsEmpty());
}

TEST_F(PreemptionTest, CancelledJobGetsItsSigtermAtOnce) {
  Run();
  world.slurm.state = Record::State::kTerminal;
  world.slurm.completing = true;
  ASSERT_TRUE(world.Happen(Sigterm(), 0));
  world.Settle();
  EXPECT_EQ(world.deliveries, 1);
}

TEST_F(PreemptionTest, PreemptTimeOfAnEarlierStartDoesNotCount) {
  Run();
  world.slurm.start_time = 100;
  world.slurm.preempt_time = 50;
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  EXPECT_EQ(world.job.stage, Stage::kRunning);
}

TEST_F(PreemptionTest, PollNoticesPreemptionWithoutASignal) {
  Run();
  world.slurm.preempt_time = world.slurm.start_time;
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  EXPECT_EQ(world.job.stage, Stage::kFreezing);
  EXPECT_TRUE(world.job.checkpoint->stop);
}

TEST_F(PreemptionTest, PreemptionTurnsACheckpointInFlightIntoAStop) {
  Run();
  ASSERT_TRUE(Save());
  Preempt();
  world.AnswerAsk();
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U) << "no second one was taken";
}

TEST_F(PreemptionTest, PreemptionWhileResumingSavesAgain) {
  Run();
  ASSERT_TRUE(Save());
  Reach(Stage::kSettling);
  Preempt();
  world.RunThroughQueue();
  EXPECT_EQ(world.job.start.restore_checkpoint, 2U);
}

TEST_F(PreemptionTest, PreemptionInTheMiddleOfARestore) {
  Run();
  Preempt();
  world.Settle();
  world.Vacate();
  world.StartJob();
  world.slurm.start_time = world.now / 1'000'000'000;
  world.Connect(0);
  world.Connect(1);
  ASSERT_EQ(world.job.stage, Stage::kPreparing);
  Preempt();
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

TEST_F(PreemptionTest, PreemptedBeforeItRanStartsFresh) {
  world.StartJob();
  world.Connect(0);
  world.Connect(1);
  Preempt();
  world.AnswerAsk();
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_job, 0U);
}

TEST_F(PreemptionTest, FailedPreemptionIsTriedOnceMoreThenSignalled) {
  Run();
  Preempt();
  world.AnswerAsk();
  ASSERT_EQ(world.job.stage, Stage::kFreezing);
  ASSERT_TRUE(Fail(0, v1::PHASE_PREPARING, "unsupported", 1));
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.deliveries, 0);
  world.Fire(TimerKind::kRetry);
  ASSERT_EQ(world.job.stage, Stage::kFreezing);
  ASSERT_TRUE(Fail(0, v1::PHASE_PREPARING, "unsupported", 2));
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.deliveries, 2) << "each pod that was notified";
  EXPECT_FALSE(world.timers.contains(TimerKind::kRetry));
}

TEST_F(PreemptionTest, RequeueByOthersIsFollowed) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  world.slurm.state = Record::State::kPending;
  ++world.slurm.restart_count;
  world.slurm.completing = true;
  world.KillPods();
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  EXPECT_EQ(world.requeues, 0);
  world.RunThroughQueue();
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

}  // namespace
}  // namespace holdfast::coordinator
