// The coordinator is killed while a job is in each stage, and another process goes on with what the
// journal keeps: RestartCoordinator serializes, parses and compares.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/unit/coordinator/world.h"

namespace holdfast::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class RestartTest : public ::testing::Test {
 protected:
  void Reach(Stage stage) {
    for (int i = 0; i < 100 && world.job.stage != stage; ++i) world.Advance();
    ASSERT_EQ(world.job.stage, stage);
    // Wardens do what they have been told; what they answer is lost with the stream.
    if (stage == Stage::kFreezing)
      for (uint32_t pod = 0; pod < 2; ++pod) world.Read(pod);
  }
  void Run() {
    world.StartJob();
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kRunning);
  }
  void RunAndSave() {
    Run();
    ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSave}));
    world.Settle();
    ASSERT_THAT(world.committed, ElementsAre(1U));
  }
  static v1::Ended Failed() {
    v1::Ended ended;
    ended.set_exit_code(3);
    return ended;
  }
  void GoTo(Stage stage) {
    world.policy.precopy = stage == Stage::kPrecopying;
    world.StartJob();
    if (stage == Stage::kGathering) return world.Connect(0);
    Reach(stage < Stage::kRunning ? stage : Stage::kRunning);
    if (stage <= Stage::kRunning) return;
    if (stage == Stage::kEnding || stage == Stage::kEnded) {
      ASSERT_TRUE(world.Happen(Failed(), 0));
      ASSERT_TRUE(world.Happen(v1::Ended(), 1));
      return Reach(stage);
    }
    ASSERT_TRUE(world.Happen(
        Wish{.reason = Reason::kMigrate, .stop = true, .hold = stage == Stage::kHeld}));
    if (stage != Stage::kWaiting && stage != Stage::kHeld) return Reach(stage);
    world.Settle();
    world.Vacate();
    Reach(stage);
  }
  // Slurm does its part, and everything that is due happens; of the timers only the looks at Slurm.
  void Finish() {
    for (int i = 0; i < 20; ++i) {
      world.Settle();
      if (world.slurm.state == Record::State::kPending) {
        if (world.slurm.completing)
          world.Clean();
        else if (!world.slurm.held)
          world.StartJob();
      }
      if (world.timers.contains(TimerKind::kAsk)) world.Fire(TimerKind::kAsk);
    }
    world.Settle();
  }

  World world{2};
};

class EveryStage : public RestartTest, public ::testing::WithParamInterface<Stage> {};

TEST_P(EveryStage, GoesOnFromEveryStage) {
  const Stage stage = GetParam();
  GoTo(stage);
  world.RestartCoordinator();
  ASSERT_EQ(world.job.stage, stage);
  Finish();
  const bool ended = stage == Stage::kEnding || stage == Stage::kEnded;
  EXPECT_EQ(world.job.stage, ended                   ? Stage::kEnded
                             : stage == Stage::kHeld ? Stage::kHeld
                                                     : Stage::kRunning);
  const bool saved = !ended && stage > Stage::kRunning;
  EXPECT_EQ(world.committed.size(), saved ? 1U : 0U);
  const bool moved = saved && stage != Stage::kHeld;
  EXPECT_EQ(world.job.start.restore_checkpoint, moved ? 1U : 0U);
  EXPECT_EQ(world.slurm.restart_count, saved ? 1U : 0U);
}

TEST_P(EveryStage, TwiceIsAsOnce) {
  GoTo(GetParam());
  world.RestartCoordinator();
  const Durable once = world.Kept();
  world.RestartCoordinator();
  EXPECT_TRUE(world.Kept() == once);
}

INSTANTIATE_TEST_SUITE_P(Restart, EveryStage,
                         ::testing::Values(Stage::kGathering, Stage::kPreparing, Stage::kStarting,
                                           Stage::kRunning, Stage::kPrecopying, Stage::kFreezing,
                                           Stage::kCommitting, Stage::kSettling, Stage::kLeaving,
                                           Stage::kWaiting, Stage::kHeld, Stage::kEnding,
                                           Stage::kEnded),
                         [](const auto& stage) { return std::string(StageName(stage.param)); });

TEST_F(RestartTest, APreemptionThatHasToWaitIsNotLost) {
  Run();
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSave}));
  Reach(Stage::kSettling);
  world.slurm.preempt_time = world.slurm.start_time + 5;
  v1::Notice notice;
  notice.set_signal(SIGTERM);
  ASSERT_TRUE(world.Happen(notice, 0));
  world.AnswerAsk();
  ASSERT_TRUE(world.job.start.wish);
  world.RestartCoordinator();
  Finish();
  EXPECT_THAT(world.committed, ElementsAre(1U, 2U));
  EXPECT_EQ(world.requeues, 1);
  EXPECT_EQ(world.job.start.restore_checkpoint, 2U);
}

TEST_F(RestartTest, PrecopyIsNotCountedAsStandstill) {
  world.policy.precopy = true;
  Run();
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSave, .begun_ns = world.now}));
  Reach(Stage::kFreezing);
  const int64_t precopied_ns = world.job.checkpoint->precopied_ns;
  ASSERT_NE(precopied_ns, 0);
  world.RestartCoordinator();
  Finish();
  ASSERT_THAT(world.job.costs, SizeIs(1));
  EXPECT_EQ(world.history.back().precopied_ns, precopied_ns);
  const std::chrono::nanoseconds stopped(world.history.back().settled_ns - precopied_ns);
  EXPECT_EQ(world.job.costs.back().stopped, Seconds(stopped));
}

TEST_F(RestartTest, TheEndOfTheScriptIsStillDoubted) {
  RunAndSave();
  ASSERT_TRUE(world.Happen(Failed(), 0));
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  world.RestartCoordinator();
  world.Connect(0);
  EXPECT_FALSE(world.timers.contains(TimerKind::kEnd)) << "a node may have been lost";
  world.Connect(1);
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  world.Fire(TimerKind::kEnd);
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kEnding);
}

TEST_F(RestartTest, ThePodThatDoesNotComeBackIsToBlameForTheEnd) {
  RunAndSave();
  ASSERT_TRUE(world.Happen(Failed(), 0));
  world.RestartCoordinator();
  world.Connect(0);
  world.AnswerAsk();
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  world.Fire(TimerKind::kReconnect);
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_THAT(world.job.last_error, HasSubstr("exit code 3"));
  EXPECT_THAT(world.job.exclusions.next, ElementsAre("n2"));
}

TEST_F(RestartTest, AnEndThatIsToldOnlyAfterwardsWaitsForTheOtherPods) {
  RunAndSave();
  world.RestartCoordinator();
  world.Connect(0);
  world.AnswerAsk();
  ASSERT_TRUE(world.Happen(Failed(), 0));
  EXPECT_FALSE(world.asked()) << "the other warden has not had its time";
  world.Connect(1);
  world.Fire(TimerKind::kEnd);
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kEnding);
}

TEST_F(RestartTest, ASuspicionStaysAndBlamesNoNodeThatWasThere) {
  RunAndSave();
  ASSERT_TRUE(world.Happen(Failed(), 1));
  ASSERT_TRUE(world.job.start.suspicion);
  world.RestartCoordinator();
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_THAT(world.job.last_error, HasSubstr("the pod died"));
  EXPECT_THAT(world.job.exclusions.next, IsEmpty());
}

}  // namespace
}  // namespace holdfast::coordinator
