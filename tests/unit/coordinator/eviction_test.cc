// Slurm takes the job away without a grace time, in the ways it can.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/world.h"

namespace holdfast::coordinator {
namespace {

using ::testing::HasSubstr;

class EvictionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    world.slurm.requeue = true;
    world.StartJob();
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kRunning);
  }
  void Save() {
    ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSave}));
    world.Settle();
    ASSERT_EQ(world.committed.size(), 1U);
  }
  // Slurm requeues it without telling its processes, which live on.
  void SetNodeDown() {
    world.slurm.state = Record::State::kPending;
    ++world.slurm.restart_count;
    world.slurm.asked_ns = world.now;
    ASSERT_TRUE(world.Happen(world.slurm));
  }
  // Slurm takes it away when its pods are gone already.
  static void EvictUnsaved(World& world) {
    world.KillPods();
    world.Evict(/*cancel=*/false);
    world.Settle();
    world.Fire(TimerKind::kReconnect);
    world.Settle();
  }
  // Slurm cleans up and starts it again.
  void ComeBack() {
    world.Vacate();
    world.slurm.state = Record::State::kRunning;
    world.StartJob();
    world.Settle();
  }
  World world{2};
};

TEST_F(EvictionTest, ARequeuedJobIsSavedAndItsWardensLeaveAtOnce) {
  world.Evict(/*cancel=*/false);
  for (int i = 0; i < 100 && world.job.stage != Stage::kSettling; ++i) world.Advance();
  ASSERT_EQ(world.job.stage, Stage::kSettling);
  EXPECT_TRUE(world.wardens[1].inbox.back().settle().leave());
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_EQ(world.requeues, 0);  // Slurm has done that
  EXPECT_EQ(world.deliveries, 0);
  ComeBack();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

TEST_F(EvictionTest, AJobThatEndedAsPreemptedIsSavedAndRequeuedByUs) {
  world.Evict(/*cancel=*/true);
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_EQ(world.requeues, 1);
  ComeBack();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

// Until its wardens are back, Slurm's record must not be taken for the end.
TEST_F(EvictionTest, ACoordinatorThatIsKilledMeanwhileSavesItWhenItIsBack) {
  for (const bool cancel : {true, false}) {
    World other(2);
    other.StartJob();
    other.Settle();
    other.Evict(cancel);
    other.RestartCoordinator();
    other.AnswerAsk();
    other.Settle();
    EXPECT_EQ(other.job.stage, Stage::kLeaving);
    EXPECT_THAT(other.committed, ::testing::ElementsAre(1U));
    EXPECT_EQ(other.requeues, cancel ? 1 : 0);
  }
}

TEST_F(EvictionTest, ACoordinatorThatIsKilledWhileItCommitsDoesNotLoseIt) {
  world.Evict(/*cancel=*/true);
  world.AnswerAsk();
  for (int i = 0; i < 100 && world.committed.empty(); ++i) world.Advance();
  ASSERT_EQ(world.job.stage, Stage::kCommitting) << "it has not heard";
  world.RestartCoordinator();
  world.AnswerAsk();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_EQ(world.requeues, 1);
}

// The manifest may have been written, and nobody has been told: only storage knows that it was not.
TEST_F(EvictionTest, WhatWasNotCommittedInTheEndIsNeverSaved) {
  world.Evict(/*cancel=*/false);
  world.AnswerAsk();
  for (int i = 0; i < 100 && world.job.stage != Stage::kCommitting; ++i) world.Advance();
  ASSERT_EQ(world.job.stage, Stage::kCommitting);
  world.KillPods();
  world.Fire(TimerKind::kReconnect);
  world.Settle();
  ComeBack();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 0U);
  EXPECT_THAT(world.note, HasSubstr("starts over"));
}

TEST_F(EvictionTest, TheSiteMayWantItEnded) {
  world.policy.continue_cancelled = false;
  world.Evict(/*cancel=*/true);
  world.Settle();
  EXPECT_EQ(world.deliveries, 2);
  world.Clean();
  world.Fire(TimerKind::kReconnect);
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kEnded);
  EXPECT_EQ(world.requeues, 0);
}

TEST_F(EvictionTest, TheDeadlineIsKillWait) {
  world.Evict(/*cancel=*/false);
  world.AnswerAsk();
  ASSERT_TRUE(world.job.checkpoint);
  EXPECT_NEAR(static_cast<double>(world.job.checkpoint->deadline_unix_ms - world.now / 1'000'000),
              29'500, 100);
}

TEST_F(EvictionTest, APeriodicCheckpointUnderWayBecomesTheLast) {
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSave}));
  world.Evict(/*cancel=*/false);
  world.AnswerAsk();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_EQ(world.committed.size(), 1U);
  EXPECT_EQ(world.job.next_checkpoint, 2U);
}

TEST_F(EvictionTest, NeverSavedItStartsOverAndSaysSo) {
  EvictUnsaved(world);
  ComeBack();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_job, 0U);
  EXPECT_THAT(world.note, HasSubstr("its script starts over"));
  EXPECT_THAT(world.comment, HasSubstr("its script starts over"));
  Save();
  EXPECT_EQ(world.comment, "");
}

TEST_F(EvictionTest, NeverSavedItIsHeldIfItsUserSaysSo) {
  world.job.options.fallback = Fallback::kHold;
  EvictUnsaved(world);
  world.Vacate();
  EXPECT_EQ(world.job.stage, Stage::kHeld);
  EXPECT_TRUE(world.slurm.held);
}

// An administrator sets its node DOWN: Slurm requeues it, and its processes live on for a while.
TEST_F(EvictionTest, OnADeadNodeThatLivesItIsSaved) {
  SetNodeDown();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  world.now += std::chrono::nanoseconds(world.policy.step_end).count();
  EXPECT_THAT(world.committed, ::testing::ElementsAre(1U));
  ComeBack();
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

TEST_F(EvictionTest, OnADeadNodeThatLivesItIsEndedIfItCannotBeSaved) {
  SetNodeDown();
  world.Read(1, World::Fault::kPrepare);
  world.Settle();
  world.Fire(TimerKind::kRetry);
  world.Read(1, World::Fault::kPrepare);
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  world.Fire(TimerKind::kAsk);
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_TRUE(world.wardens[1].inbox.back().has_finish());
  world.KillPods();
  world.Fire(TimerKind::kAsk);
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kLeaving) << "its slurmstepd may still be there";
  world.now += std::chrono::nanoseconds(world.policy.step_end).count();
  world.Fire(TimerKind::kAsk);
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kWaiting);
}

// What is left of it there lives on when the nodes answer again, and a start beside that fails.
TEST_F(EvictionTest, ItKeepsAwayFromNodesThatAreLostOrWaitsAsLongAsSlurmWould) {
  Save();
  for (uint32_t pod = 0; pod < 2; ++pod) world.Disconnect(pod);
  const std::vector<std::string> lost = world.job.nodes();
  const int64_t lost_s = world.now / 1'000'000'000;
  SetNodeDown();
  ASSERT_EQ(world.job.stage, Stage::kLeaving);
  world.now += std::chrono::nanoseconds(world.policy.step_end).count();
  world.Fire(TimerKind::kAsk);
  world.AnswerAsk();
  ASSERT_EQ(world.job.stage, Stage::kWaiting);
  EXPECT_THAT(world.slurm.excluded, ::testing::UnorderedElementsAreArray(lost));
  world.slurm.unsatisfiable = true;
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  EXPECT_TRUE(world.slurm.excluded.empty());
  EXPECT_GE(world.slurm.begin_time, lost_s + 120);
}

TEST_F(EvictionTest, SavedBeforeItGoesOnFromThere) {
  Save();
  EvictUnsaved(world);
  ComeBack();
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
  EXPECT_EQ(world.note, "");
}

TEST_F(EvictionTest, AScriptThatEndedStartsOverAndNoOldCheckpointIsRestored) {
  Save();
  v1::Ended ended;
  ended.set_exit_code(99);
  ASSERT_TRUE(world.Happen(ended, 0));
  if (world.timers.contains(TimerKind::kEnd)) world.Fire(TimerKind::kEnd);
  world.AnswerAsk();
  ASSERT_EQ(world.job.stage, Stage::kEnding);
  world.slurm.state = Record::State::kPending;  // by RequeueExit
  ++world.slurm.restart_count;
  world.ran = false;
  world.KillPods();
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  world.Settle();
  world.slurm.state = Record::State::kRunning;
  world.StartJob();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_job, 0U);
  EXPECT_EQ(world.note, "");
  EXPECT_EQ(world.job.newest(), 0U);
}

// Slurm's record forbids a requeue, so for as long as the job runs the record has to allow it.
TEST_F(EvictionTest, NoRequeueIsKeptAndAJobNeverSavedIsNotStartedAgain) {
  World other(1);
  other.slurm.requeue = false;
  other.StartJob();
  other.Settle();
  EXPECT_EQ(other.job.requeue, false);
  EXPECT_TRUE(other.slurm.requeue);
  EvictUnsaved(other);
  other.Vacate();
  EXPECT_EQ(other.slurm.state_name, "CANCELLED");
}

// Slurm would start its script over after it has ended well.
TEST_F(EvictionTest, AJobThatIsRequeuedAfterItsGraceTimeLosesTheMarkOfThatBeforeItGoesOn) {
  world.slurm.marked = true;
  world.slurm.preempt_time = world.slurm.start_time + 5;
  world.slurm.leave_by = world.slurm.start_time + 35;
  world.Evict(/*cancel=*/false);
  world.AnswerAsk();
  world.RunThroughQueue();  // it was saved, and its next start is given up
  EXPECT_EQ(world.requeues, 1);
  EXPECT_FALSE(world.slurm.marked);
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
  EXPECT_EQ(world.requeues, 1);
}

// One that Slurm ended as PREEMPTED keeps the mark, whoever brings it back.
TEST_F(EvictionTest, WhatKeepsTheMarkIsNotMovedForItForEver) {
  world.slurm.marked = true;
  world.mark_stays = true;
  world.Evict(/*cancel=*/true);
  world.AnswerAsk();
  world.RunThroughQueue();
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_TRUE(world.slurm.marked);
}

TEST_F(EvictionTest, ACancelledJobGetsItsSignalsAtOnce) {
  world.slurm.state = Record::State::kTerminal;
  world.slurm.state_name = "CANCELLED";
  world.slurm.completing = true;
  v1::Notice notice;
  notice.set_signal(SIGTERM);
  notice.set_scope(v1::SIGNAL_SCOPE_SCRIPT);
  ASSERT_TRUE(world.Happen(notice, 0));
  world.Settle();
  EXPECT_EQ(world.deliveries, 1);
  EXPECT_TRUE(world.committed.empty());
}

// PreemptParameters=send_user_signal: what announces the preemption may be any signal.
TEST_F(EvictionTest, TheUsersSignalIsNotDeliveredIfTheJobIsSaved) {
  world.slurm.preempt_time = world.slurm.start_time + 5;
  world.slurm.grace_seconds = 60;
  v1::Notice notice;
  notice.set_signal(SIGUSR2);
  notice.set_scope(v1::SIGNAL_SCOPE_SCRIPT);
  ASSERT_TRUE(world.Happen(notice, 0));
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_EQ(world.deliveries, 0);
}

TEST_F(EvictionTest, TheUsersSignalIsDeliveredOtherwise) {
  v1::Notice notice;
  notice.set_signal(SIGUSR2);
  notice.set_scope(v1::SIGNAL_SCOPE_GROUP);
  ASSERT_TRUE(world.Happen(notice, 1));
  world.Settle();
  EXPECT_EQ(world.deliveries, 1);
  EXPECT_EQ(world.job.stage, Stage::kRunning);
}

}  // namespace
}  // namespace holdfast::coordinator
