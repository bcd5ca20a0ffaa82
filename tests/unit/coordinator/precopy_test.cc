// Memory that is stored ahead of the freeze.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/state_fixture.h"

namespace holdfast::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PrecopyTest : public StateTest {
 protected:
  PrecopyTest() { world.policy.precopy = true; }
  bool Asked(uint32_t pod, v1::ToWarden::BodyCase body) {
    const auto& inbox = world.wardens[pod].inbox;
    return !inbox.empty() && inbox.back().body_case() == body;
  }
  static v1::Precopied Precopied(int64_t freeze_by_unix_ms = 0) {
    v1::Precopied precopied;
    precopied.set_checkpoint(1);
    precopied.set_freeze_by_unix_ms(freeze_by_unix_ms);
    return precopied;
  }
  Wish Spot(int64_t seconds) {
    return Wish{.reason = Reason::kSpot,
                .stop = true,
                .deadline_unix_ms = world.now / 1'000'000 + seconds * 1000};
  }
};

TEST_F(PrecopyTest, PodsAreFrozenTogetherWhenAllHaveStoredAhead) {
  Run();
  ASSERT_TRUE(Save());
  EXPECT_EQ(world.job.stage, Stage::kPrecopying);
  world.Read(0);
  ASSERT_TRUE(world.Hear(0));
  EXPECT_EQ(world.job.stage, Stage::kPrecopying);
  EXPECT_TRUE(world.wardens[0].inbox.empty());
  world.Read(1);
  ASSERT_TRUE(world.Hear(1));
  EXPECT_EQ(world.job.stage, Stage::kFreezing);
  EXPECT_TRUE(Asked(0, v1::ToWarden::kPrepare));
  EXPECT_TRUE(Asked(1, v1::ToWarden::kPrepare));
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_THAT(world.committed, ElementsAre(1U));
}

TEST_F(PrecopyTest, OneThatTakesTooLongIsNotWaitedFor) {
  Run();
  ASSERT_TRUE(Save());
  world.Fire(TimerKind::kPhase);
  EXPECT_EQ(world.job.stage, Stage::kFreezing);
  world.Settle();
  EXPECT_THAT(world.committed, ElementsAre(1U));
}

TEST_F(PrecopyTest, PreemptionFreezesAtOnce) {
  Run();
  ASSERT_TRUE(Save());
  Preempt();
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kFreezing);
  EXPECT_TRUE(Asked(0, v1::ToWarden::kPrepare));
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U) << "no second one was taken";
}

TEST_F(PrecopyTest, NothingIsStoredAheadOfAPreemption) {
  Run();
  Preempt();
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kFreezing);
}

TEST_F(PrecopyTest, ADeadlineLeavesTimeForIt) {
  Run();
  ASSERT_TRUE(world.Happen(Spot(120)));
  ASSERT_EQ(world.job.stage, Stage::kPrecopying);
  ASSERT_TRUE(Asked(0, v1::ToWarden::kPrecopy));
  EXPECT_NE(world.wardens[0].inbox.back().precopy().deadline_unix_ms(), 0);
  // Pod 0 has done, and has to be frozen before pod 1 has done.
  ASSERT_TRUE(world.Happen(Precopied(world.now / 1'000'000 + 1), 0));
  ASSERT_EQ(world.job.stage, Stage::kPrecopying);
  world.Fire(TimerKind::kPhase);
  EXPECT_EQ(world.job.stage, Stage::kFreezing);
  world.RunThroughQueue();
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

TEST_F(PrecopyTest, SomeOtherWishIsRefusedMeanwhile) {
  Run();
  ASSERT_TRUE(Save());
  const Status second = Save();
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message(), HasSubstr("checkpoint 1 (save) is in progress"));
}

TEST_F(PrecopyTest, ALostWardenEndsIt) {
  Run();
  ASSERT_TRUE(Save());
  world.Disconnect(1);
  EXPECT_EQ(world.wardens[0].inbox.back().settle().how(), v1::Settle::ABORT);
  world.Settle();  // it comes back
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_THAT(world.committed, IsEmpty());
  ASSERT_TRUE(Save());
  world.Settle();
  EXPECT_THAT(world.committed, ElementsAre(2U));
}

TEST_F(PrecopyTest, GoesOnWhenTheCoordinatorComesBack) {
  Run();
  ASSERT_TRUE(Save());
  world.Read(0);
  world.RestartCoordinator();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_THAT(world.committed, ElementsAre(1U));
}

TEST_F(PrecopyTest, TheEndOfTheScriptEndsItToo) {
  Run();
  ASSERT_TRUE(Save());
  for (uint32_t pod = 0; pod < 2; ++pod) ASSERT_TRUE(world.Happen(v1::Ended(), pod));
  EXPECT_EQ(world.job.stage, Stage::kEnding);
  EXPECT_FALSE(world.job.checkpoint);
}

}  // namespace
}  // namespace holdfast::coordinator
