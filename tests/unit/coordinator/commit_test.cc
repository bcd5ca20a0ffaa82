// Before pod 0 writes the manifest it asks once more, so that no pod that has gone on by itself is
// part of the checkpoint.
#include <gtest/gtest.h>

#include "tests/unit/coordinator/world.h"

namespace holdfast::coordinator {
namespace {

class CommitTest : public ::testing::Test {
 protected:
  void SetUp() override {
    world.StartJob();
    world.Settle();
    ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSave}));
    for (int i = 0; i < 100 && world.job.stage != Stage::kCommitting; ++i) world.Advance();
    ASSERT_EQ(world.job.stage, Stage::kCommitting);
    world.Read(0);  // Commit
    ASSERT_TRUE(world.wardens[0].outbox.front().has_stored());
  }
  void GoOn(uint32_t pod) {
    world.wardens[pod].phase = v1::PHASE_RUNNING;
    world.wardens[pod].promised = false;
  }

  World world{3};
};

TEST_F(CommitTest, NobodyIsCommittedWithoutBeingAsked) {
  ASSERT_TRUE(world.Hear(0));
  EXPECT_FALSE(world.job.confirmed);
  for (uint32_t pod : {1U, 2U}) {
    ASSERT_TRUE(world.wardens[pod].inbox.front().has_stay());
    EXPECT_TRUE(world.wardens[0].inbox.empty()) << "not all have answered";
    world.Read(pod);
    ASSERT_TRUE(world.Hear(pod));
  }
  EXPECT_TRUE(world.wardens[0].inbox.front().has_confirm());
  EXPECT_TRUE(world.job.confirmed);
  world.Settle();
  EXPECT_EQ(world.committed.size(), 1U);
  EXPECT_EQ(world.job.stage, Stage::kRunning);
}

TEST_F(CommitTest, APodThatHasGoneOnMeanwhileIsNoPartOfIt) {
  world.Disconnect(1);
  GoOn(1);
  world.Settle();
  EXPECT_TRUE(world.committed.empty());
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_TRUE(world.job.all_run());
}

TEST_F(CommitTest, APodThatIsAwayIsAskedWhenItIsBack) {
  world.wardens[2].alive = false;
  world.Disconnect(2);
  ASSERT_TRUE(world.Hear(0));
  world.Settle();
  EXPECT_TRUE(world.committed.empty());
  EXPECT_EQ(world.job.stage, Stage::kCommitting);
  world.wardens[2].alive = true;
  world.Settle();
  EXPECT_EQ(world.committed.size(), 1U);
  EXPECT_EQ(world.job.stage, Stage::kRunning);
}

TEST_F(CommitTest, OneThatDoesNotComeBackEndsIt) {
  world.wardens[2].alive = false;
  world.Disconnect(2);
  world.Settle();
  world.Fire(TimerKind::kReconnect);
  EXPECT_EQ(world.job.stage, Stage::kSettling);
  EXPECT_EQ(world.job.checkpoint->how, v1::Settle::ABORT);
  EXPECT_TRUE(world.committed.empty());
}

TEST_F(CommitTest, OnceItIsConfirmedOnlyPodZerosWordCounts) {
  while (!world.job.confirmed) ASSERT_TRUE(world.Advance());
  world.Disconnect(2);
  world.Fire(TimerKind::kReconnect);
  world.Fire(TimerKind::kPhase);
  EXPECT_EQ(world.job.stage, Stage::kCommitting) << "it may have committed";
  world.Settle();
  EXPECT_EQ(world.committed.size(), 1U);
}

TEST_F(CommitTest, PodZeroThatTakesTooLongIsNotWaitedFor) {
  world.Fire(TimerKind::kPhase);
  EXPECT_EQ(world.job.checkpoint->how, v1::Settle::ABORT);
  ASSERT_TRUE(world.Hear(0)) << "it asks after all";
  world.Settle();
  EXPECT_TRUE(world.committed.empty());
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_TRUE(world.job.all_run());
}

TEST_F(CommitTest, AnotherCoordinatorAsksAnew) {
  while (!world.job.confirmed) ASSERT_TRUE(world.Advance());
  world.RestartCoordinator();
  world.Connect(1);
  EXPECT_TRUE(world.job.confirmed) << "it may have been";
  world.Settle();
  EXPECT_EQ(world.committed.size(), 1U);
  EXPECT_EQ(world.job.stage, Stage::kRunning);
}

}  // namespace
}  // namespace holdfast::coordinator
