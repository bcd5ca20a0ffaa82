// Slurm suspends jobs (scontrol suspend, gang scheduling, PreemptMode=SUSPEND), and their wardens
// with them: that is a state, not a loss.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/world.h"

namespace holdfast::coordinator {
namespace {

using ::testing::HasSubstr;

class SuspensionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    world.StartJob();
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kRunning);
  }
  // As its coordinator sees it: nobody of it is there any more.
  void Suspend() {
    world.slurm.suspended = true;
    for (uint32_t pod = 0; pod < 2; ++pod) {
      world.wardens[pod].alive = false;
      world.Disconnect(pod);
    }
    world.AnswerAsk();
  }
  void Unsuspend() {
    world.slurm.suspended = false;
    for (World::Warden& warden : world.wardens) warden.alive = true;
    world.AnswerAsk();
    world.Settle();
  }
  Status Wish(Reason reason) {
    return world.Happen(coordinator::Wish{.reason = reason, .stop = reason != Reason::kSave});
  }

  World world{2};
};

TEST_F(SuspensionTest, ItsSilenceMeansNothing) {
  Suspend();
  world.Fire(TimerKind::kReconnect);
  EXPECT_FALSE(world.asked());
  EXPECT_FALSE(world.job.start.suspicion);
  Unsuspend();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_TRUE(world.job.can_save());
  EXPECT_EQ(world.requeues, 0);
}

TEST_F(SuspensionTest, ASuspicionOfBeforeIsWithdrawn) {
  for (uint32_t pod = 0; pod < 2; ++pod) {
    world.wardens[pod].alive = false;
    world.Disconnect(pod);
  }
  world.Fire(TimerKind::kReconnect);
  EXPECT_TRUE(world.job.start.suspicion);
  world.slurm.suspended = true;
  world.AnswerAsk();
  EXPECT_FALSE(world.job.start.suspicion);
  Unsuspend();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
}

TEST_F(SuspensionTest, WhoDoesNotComeBackAfterwardsIsMissed) {
  Suspend();
  world.slurm.suspended = false;
  world.AnswerAsk();
  ASSERT_TRUE(world.timers.contains(TimerKind::kReconnect));
  world.Fire(TimerKind::kReconnect);
  EXPECT_TRUE(world.job.start.suspicion);
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_FALSE(world.job.departure.hold) << "it has no checkpoint, and starts over";
}

TEST_F(SuspensionTest, ACheckpointUnderWayIsGivenUp) {
  ASSERT_TRUE(Wish(Reason::kSave));
  ASSERT_EQ(world.job.stage, Stage::kFreezing);
  world.Read(0);  // the other has not begun
  Suspend();
  EXPECT_EQ(world.job.stage, Stage::kSettling);
  EXPECT_FALSE(world.timers.contains(TimerKind::kPhase) &&
               (world.Fire(TimerKind::kPhase), world.job.start.suspicion.has_value()));
  Unsuspend();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_TRUE(world.committed.empty());
  ASSERT_TRUE(Wish(Reason::kSave));
  world.Settle();
  EXPECT_EQ(world.committed.size(), 1U);
}

TEST_F(SuspensionTest, NoTimeOfARestorePasses) {
  ASSERT_TRUE(Wish(Reason::kMigrate));
  world.Settle();
  world.Vacate();
  world.StartJob();
  for (uint32_t pod = 0; pod < 2; ++pod) world.Connect(pod);
  ASSERT_EQ(world.job.stage, Stage::kPreparing);
  Suspend();
  world.Fire(TimerKind::kPhase);
  EXPECT_EQ(world.job.stage, Stage::kPreparing);
  world.slurm.suspended = false;
  world.AnswerAsk();
  EXPECT_TRUE(world.timers.contains(TimerKind::kPhase)) << "and then it has all of it again";
  Unsuspend();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
}

TEST_F(SuspensionTest, WhatIsWishedMeanwhileIsRefusedOrWaits) {
  Suspend();
  const Status refused = Wish(Reason::kSave);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("Slurm has suspended it"));
  EXPECT_TRUE(Wish(Reason::kEvacuate));
  Unsuspend();
  EXPECT_EQ(world.committed.size(), 1U);
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
}

TEST_F(SuspensionTest, RequeuedItGoesOnFromItsCheckpoint) {
  ASSERT_TRUE(Wish(Reason::kSave));
  world.Settle();
  Suspend();
  // Slurm kills it at once, and holds it.
  world.slurm.suspended = false;
  world.slurm.state = Record::State::kPending;
  world.slurm.state_name = "PENDING";
  world.slurm.held = true;
  ++world.slurm.restart_count;
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  EXPECT_EQ(world.requeues, 0);
  while (world.timers.contains(TimerKind::kAsk) && world.job.stage == Stage::kLeaving) {
    world.now += 10'000'000'000;
    world.Fire(TimerKind::kAsk);
    world.AnswerAsk();
  }
  EXPECT_EQ(world.job.stage, Stage::kWaiting);
  EXPECT_TRUE(world.slurm.held) << "by Slurm, until its user releases it";
  world.StartJob();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

}  // namespace
}  // namespace holdfast::coordinator
