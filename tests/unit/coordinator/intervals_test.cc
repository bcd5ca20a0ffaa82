// The state machine's part in planning (planning.h): when it plans, and what it counts and passes
// on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/unit/coordinator/world.h"

namespace holdfast::coordinator {
namespace {

using namespace std::chrono_literals;

class IntervalsTest : public ::testing::Test {
 protected:
  void Run() {
    world.StartJob();
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kRunning);
  }
  void Pass(std::chrono::nanoseconds time) { world.now += time.count(); }
  void SaveAfter(std::chrono::nanoseconds time) {
    Pass(time);
    ASSERT_TRUE(world.timers.contains(TimerKind::kInterval));
    world.Fire(TimerKind::kInterval);
    world.Settle();
  }
  void Preempt() {
    world.slurm.preempt_time = world.slurm.start_time + 5;
    v1::Notice notice;
    notice.set_signal(SIGTERM);
    ASSERT_TRUE(world.Happen(notice, 0));
  }
  v1::Prepare Prepared() const {
    for (const v1::ToWarden& message : world.wardens[0].inbox)
      if (message.has_prepare()) return message.prepare();
    return {};
  }
  World world{2};
};

TEST_F(IntervalsTest, AutoPlansAnewAfterEachCheckpoint) {
  world.options.interval = Interval{.automatic = true};
  Run();
  EXPECT_EQ(world.job.plan.basis, Basis::kFirst);
  EXPECT_EQ(world.interval, 2min);
  SaveAfter(2min);
  ASSERT_EQ(world.job.costs.size(), 1U);
  EXPECT_TRUE(world.job.costs[0].first);
  EXPECT_NEAR(world.job.costs[0].ran.count(), 120, 1);
  EXPECT_EQ(world.job.plan.basis, Basis::kShortest) << "in this world it takes milliseconds";
  SaveAfter(10min);
  ASSERT_EQ(world.job.costs.size(), 2U);
  EXPECT_FALSE(world.job.costs[1].first);
  EXPECT_NEAR(world.job.costs[1].ran.count(), 600, 1);
  EXPECT_GT(world.job.costs[1].stopped, world.job.costs[1].to_safe);
}

TEST_F(IntervalsTest, ManyCheckpointsLeaveTheNewestCosts) {
  world.options.interval = Interval{.every = 1min};
  Run();
  for (int i = 0; i < 12; ++i) SaveAfter(1min);
  EXPECT_EQ(world.job.costs.size(), kCostsKept);
  EXPECT_FALSE(world.job.costs[0].first);
  EXPECT_EQ(world.job.plan.basis, Basis::kFixed);
  EXPECT_EQ(world.interval, 1min);
}

TEST_F(IntervalsTest, AFailedCheckpointTeachesNothing) {
  world.options.interval = Interval{.automatic = true};
  Run();
  Pass(2min);
  world.Fire(TimerKind::kInterval);
  world.Read(0, World::Fault::kPrepare);
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_TRUE(world.job.costs.empty());
  EXPECT_EQ(world.job.plan.basis, Basis::kFirst);
  SaveAfter(2min);
  EXPECT_NEAR(world.job.costs[0].ran.count(), 240, 1) << "since the start: nothing was saved";
}

TEST_F(IntervalsTest, WhatFailsIsTriedLessAndLess) {
  world.options.interval = Interval{.every = 1s};
  Run();
  const auto fail = [&] {
    Pass(world.interval);
    world.Fire(TimerKind::kInterval);
    world.Read(0, World::Fault::kPrepare);
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kRunning);
  };
  int tried = 0;
  for (const int64_t end = world.now + std::chrono::nanoseconds(1h).count(); world.now < end;
       ++tried)
    fail();
  EXPECT_LT(tried, 40);
  EXPECT_EQ(world.interval, 5min);
  SaveAfter(world.interval);
  EXPECT_EQ(world.interval, 1s);
}

TEST_F(IntervalsTest, PreemptionsAreCountedAndWhatPeopleWantIsNot) {
  Run();
  Pass(1h);
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kMigrate, .stop = true}));
  world.RunThroughQueue();
  EXPECT_EQ(world.policy.interruptions.count, 0U);
  EXPECT_NEAR(world.policy.interruptions.node_time.count(), 2 * 3600, 1) << "of each of its nodes";
  Pass(30min);
  Preempt();
  world.RunThroughQueue();
  EXPECT_EQ(world.policy.interruptions.count, 1U);
  EXPECT_NEAR(world.policy.interruptions.node_time.count(), 3 * 3600, 1)
      << "not the time in between";
}

TEST_F(IntervalsTest, LostNodesAreCounted) {
  Run();
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSave}));
  world.Settle();
  Pass(1h);
  // Slurm marks the node down and requeues the job.
  world.slurm.state = Record::State::kPending;
  ++world.slurm.restart_count;
  world.slurm.completing = true;
  world.KillPods();
  world.AnswerAsk();
  EXPECT_EQ(world.policy.interruptions.count, 1U);
  EXPECT_NEAR(world.policy.interruptions.node_time.count(), 2 * 3600, 1);
}

TEST_F(IntervalsTest, TheTimeOfJobsThatEndIsCounted) {
  Run();
  Pass(1h);
  for (uint32_t pod = 0; pod < 2; ++pod) ASSERT_TRUE(world.Happen(v1::Ended(), pod));
  world.Settle();
  EXPECT_EQ(world.policy.interruptions.count, 0U);
  EXPECT_NEAR(world.policy.interruptions.node_time.count(), 2 * 3600, 1);
}

TEST_F(IntervalsTest, TheShortestNoticeOfNodesAndPartitionCounts) {
  world.notice_seconds = {120, 30};
  Run();
  EXPECT_EQ(world.job.plan.notice, 30s);
  world.slurm.grace_seconds = 20;
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSave}));
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  world.Settle();
  EXPECT_EQ(world.job.plan.notice, 20s);
}

TEST_F(IntervalsTest, ANoticeThatIsTooShortIsTriedAllTheSame) {
  Run();
  world.job.plan.to_safe = {.known = true, .fixed = 1h};
  const int64_t deadline = world.now / 1'000'000 + 1000;
  ASSERT_TRUE(
      world.Happen(Wish{.reason = Reason::kSpot, .stop = true, .deadline_unix_ms = deadline}));
  EXPECT_EQ(world.job.stage, Stage::kFreezing);
  EXPECT_EQ(Prepared().deadline_unix_ms(), deadline);
}

TEST_F(IntervalsTest, APreemptionsDeadlineIsTheEndOfItsGraceTime) {
  Run();
  world.slurm.leave_by = world.slurm.start_time + 65;
  Preempt();
  world.AnswerAsk();
  ASSERT_EQ(world.job.stage, Stage::kFreezing);
  EXPECT_EQ(Prepared().deadline_unix_ms(), world.slurm.leave_by * 1000);
}

TEST_F(IntervalsTest, ACheckpointInFlightTakesTheNoticesDeadline) {
  Run();
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSave, .begun_ns = world.now}));
  const int64_t deadline = world.now / 1'000'000 + 30'000;
  ASSERT_TRUE(
      world.Happen(Wish{.reason = Reason::kSpot, .stop = true, .deadline_unix_ms = deadline}));
  EXPECT_EQ(world.job.checkpoint->deadline_unix_ms, deadline);
  // It fails, and the second try has it as well.
  world.Read(1, World::Fault::kPrepare);
  world.Settle();
  ASSERT_TRUE(world.job.start.wish);
  EXPECT_EQ(world.job.start.wish->deadline_unix_ms, deadline);
}

TEST_F(IntervalsTest, ThereIsNoSecondTryThatWouldNotBeInTime) {
  Run();
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSpot,
                                .stop = true,
                                .begun_ns = world.now,
                                .deadline_unix_ms = world.now / 1'000'000 + 1'000}));
  world.Read(1, World::Fault::kPrepare);
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_FALSE(world.job.start.wish);
}

}  // namespace
}  // namespace holdfast::coordinator
