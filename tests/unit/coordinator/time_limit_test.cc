// The job is saved before its time limit, and goes on with a fresh one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/world.h"

namespace holdfast::coordinator {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

class TimeLimitTest : public ::testing::Test {
 protected:
  void SetUp() override { world.options.renewals = kWithoutEnd; }
  // Slurm starts it, with so long to run.
  void Run(std::chrono::seconds limit = 1h) {
    world.slurm.start_time = world.now / 1'000'000'000;
    world.slurm.end_time = world.slurm.start_time + limit.count();
    world.StartJob();
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kRunning);
  }
  void Limit(std::chrono::seconds limit) {
    world.slurm.end_time = world.slurm.start_time + limit.count();
    Hear();
  }
  void Hear() {
    world.slurm.asked_ns = world.now;
    ASSERT_TRUE(world.Happen(world.slurm));
  }
  // Seconds since its start, when it is to be saved.
  double Due() const {
    return static_cast<double>(world.job.limit.save_ns) / 1e9 -
           static_cast<double>(world.slurm.start_time);
  }
  void FireWhenDue() {
    ASSERT_TRUE(world.timers.contains(TimerKind::kLimit));
    world.now = std::max(world.now, world.job.limit.save_ns);
    world.Fire(TimerKind::kLimit);
  }
  // What its checkpoints have taken so far.
  void Costs(Seconds to_safe) { world.job.costs = {{.to_safe = to_safe, .first = true}}; }
  void Save() {
    ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSave, .begun_ns = world.now}));
    world.Settle();
  }
  // Slurm ends it, and it has KillWait.
  void TimeOut() {
    world.slurm.state = Record::State::kTerminal;
    world.slurm.state_name = "TIMEOUT";
    world.slurm.completing = true;
    Hear();
  }
  bool Marked(const std::string& name) const {
    return std::ranges::contains(world.events, name, &TimelineEvent::name);
  }
  World world{2};
};

TEST_F(TimeLimitTest, ItIsMeasuredSavedAndGoesOn) {
  Run();
  EXPECT_NEAR(Due(), 1800, 1) << "to measure";
  FireWhenDue();
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  ASSERT_EQ(world.job.costs.size(), 1U);
  EXPECT_NEAR(Due(), 3595, 0.5) << "in this world a save takes milliseconds";
  FireWhenDue();
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 2U);
  EXPECT_EQ(world.job.renewals, 1U);
  EXPECT_EQ(world.deliveries, 0);
}

TEST_F(TimeLimitTest, ThereIsNoneThatItsUserDidNotAskFor) {
  for (const auto renewals : {std::optional<uint32_t>(), std::optional(0U)}) {
    world = World{2};
    world.options.renewals = renewals;
    Run();
    EXPECT_FALSE(world.timers.contains(TimerKind::kLimit));
  }
  world = World{2};
  world.options.renewals = 1;
  world.StartJob();
  world.Settle();
  EXPECT_FALSE(world.timers.contains(TimerKind::kLimit)) << "it may run as long as it likes";
}

TEST_F(TimeLimitTest, TheLastRunEndsAtItsLimit) {
  world.options.renewals = 2;
  Run();
  Costs(1s);
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(Marked("last-run"));
    Limit(i % 2 == 0 ? 2h : 1h);
    FireWhenDue();
    world.RunThroughQueue();
    ASSERT_EQ(world.job.stage, Stage::kRunning);
  }
  EXPECT_EQ(world.job.renewals, 2U);
  EXPECT_TRUE(Marked("last-run"));
  EXPECT_FALSE(world.timers.contains(TimerKind::kLimit));
  TimeOut();
  world.Settle();
  world.Clean();
  Hear();
  EXPECT_EQ(world.job.stage, Stage::kEnded);
  EXPECT_EQ(world.requeues, 2);
}

TEST_F(TimeLimitTest, WhatSavingTakesDecidesHowEarly) {
  Run();
  Costs(100s);
  Limit(2h);
  EXPECT_NEAR(Due(), 7200 - 5 - 2 * 100, 1);
  Costs(1h);
  Limit(1h);
  EXPECT_NEAR(Due(), 1800, 1) << "half of its time is its own";
}

TEST_F(TimeLimitTest, TheTimeIsThatOfItsProcesses) {
  world.slurm.start_time = world.now / 1'000'000'000 - 1800;  // its restore has taken so long
  world.slurm.end_time = world.slurm.start_time + 3600;
  world.StartJob();
  world.Settle();
  Costs(1h);
  Limit(3600s + 1s);
  EXPECT_NEAR(Due(), 1800 + 900, 1);
}

TEST_F(TimeLimitTest, TheLimitMayBeChanged) {
  Run();
  Costs(1s);
  Limit(10min);
  EXPECT_NEAR(Due(), 600 - 7, 1);
  Limit(20min);
  EXPECT_NEAR(Due(), 1200 - 7, 1);
  world.slurm.end_time = 0;
  Hear();
  EXPECT_FALSE(world.timers.contains(TimerKind::kLimit));
}

TEST_F(TimeLimitTest, TheUsersSignalComesInTheLastRunOnly) {
  world.warning_seconds = 600;
  Run();
  Costs(1s);
  Limit(2h);
  EXPECT_NEAR(Due(), 7200 - 600 - 31, 1) << "before Slurm sends it";
  Limit(15min);
  EXPECT_NEAR(Due(), 450, 1) << "it cannot be helped";
}

TEST_F(TimeLimitTest, ASuspendedJobsTimeStandsStill) {
  Run();
  Costs(1s);
  Limit(2h);
  world.slurm.suspended = true;
  const int64_t end_time = std::exchange(world.slurm.end_time, 0);
  Hear();
  world.now += std::chrono::nanoseconds(30min).count();
  world.Fire(TimerKind::kLimit);
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_TRUE(world.committed.empty());
  world.slurm.suspended = false;
  world.slurm.end_time = end_time + 1800;
  Hear();
  EXPECT_NEAR(Due(), 7200 + 1800 - 7, 1);
  EXPECT_TRUE(world.timers.contains(TimerKind::kLimit));
}

TEST_F(TimeLimitTest, ACheckpointUnderWayWillDo) {
  Run();
  Costs(1s);
  Limit(2h);
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kInterval}));
  FireWhenDue();
  world.RunThroughQueue();
  EXPECT_THAT(world.committed, ElementsAre(1U));
  EXPECT_EQ(world.job.renewals, 1U);
  EXPECT_EQ(world.job.stage, Stage::kRunning);
}

TEST_F(TimeLimitTest, AMeasureThatFailsIsTakenAgain) {
  Run();
  FireWhenDue();
  world.Read(1, World::Fault::kPrepare);
  world.Settle();
  EXPECT_NEAR(Due(), 2700, 1);
  FireWhenDue();
  world.Read(1, World::Fault::kPrepare);
  world.Settle();
  EXPECT_NEAR(Due(), 3150, 1);
}

TEST_F(TimeLimitTest, NeverMeasuredItIsTriedAllTheSame) {
  Run();
  for (int i = 0; i < 20 && world.job.costs.empty() && world.job.stage == Stage::kRunning; ++i) {
    FireWhenDue();
    if (world.job.checkpoint->stop) break;
    world.Read(1, World::Fault::kPrepare);
    world.Settle();
  }
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.renewals, 1U);
}

TEST_F(TimeLimitTest, ASaveThatFailsIsTriedAgainWhileThereIsTime) {
  Run();
  Costs(100s);
  Limit(2h);
  FireWhenDue();
  for (int failures = 1; failures <= 10; ++failures) {
    world.now += std::chrono::nanoseconds(10s).count();
    world.Read(1, World::Fault::kPrepare);
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kRunning) << failures;
    ASSERT_TRUE(world.timers.contains(TimerKind::kRetry)) << failures;
    world.now += std::chrono::nanoseconds(world.policy.retry_pause).count();
    world.Fire(TimerKind::kRetry);
  }
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.renewals, 1U);
}

TEST_F(TimeLimitTest, ThenSlurmEndsIt) {
  Run();
  Save();
  Limit(2h);
  FireWhenDue();
  world.now += std::chrono::nanoseconds(10s).count();
  world.Read(1, World::Fault::kPrepare);
  world.Settle();
  EXPECT_FALSE(world.timers.contains(TimerKind::kRetry));
  EXPECT_FALSE(world.timers.contains(TimerKind::kLimit));
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  TimeOut();
  world.Clean();
  Hear();
  EXPECT_EQ(world.job.stage, Stage::kEnded);
  EXPECT_EQ(world.requeues, 0);
  EXPECT_EQ(world.job.renewals, 0U);
}

TEST_F(TimeLimitTest, ASaveThatIsLateHasKillWait) {
  Run();
  Costs(1s);
  Limit(2h);
  FireWhenDue();
  TimeOut();
  world.Settle();
  EXPECT_EQ(world.requeues, 1);
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
  EXPECT_EQ(world.job.renewals, 1U);
}

// Slurm was told of the requeue, and answers when its time is over.
TEST_F(TimeLimitTest, ARequeueThatIsLateIsAskedForAgain) {
  Run();
  Costs(1s);
  Limit(2h);
  FireWhenDue();
  for (int i = 0; i < 100 && world.job.stage != Stage::kLeaving; ++i) world.Advance();
  ASSERT_EQ(world.job.stage, Stage::kLeaving);
  world.slurm.state = Record::State::kTerminal;
  world.slurm.state_name = "TIMEOUT";
  world.slurm.completing = false;
  world.KillPods();
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.renewals, 1U);
}

TEST_F(TimeLimitTest, AnotherProcessPlansItAnew) {
  Run();
  Save();
  Limit(2h);
  world.RestartCoordinator();
  world.Settle();
  EXPECT_NEAR(Due(), 7200 - 5, 1);
  FireWhenDue();
  world.RunThroughQueue();
  EXPECT_EQ(world.job.renewals, 1U);
  world.RestartCoordinator();
  EXPECT_EQ(world.job.renewals, 1U);
}

TEST_F(TimeLimitTest, APreemptionIsNoRenewal) {
  world.options.renewals = 1;
  Run();
  Costs(1s);
  Limit(2h);
  world.slurm.preempt_time = world.slurm.start_time + 5;
  Hear();
  world.RunThroughQueue();
  EXPECT_EQ(world.job.renewals, 0U);
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_TRUE(world.timers.contains(TimerKind::kLimit));
}

}  // namespace
}  // namespace holdfast::coordinator
