#include "coordinator/spread.h"

#include <gmock/gmock.h>

#include "tests/unit/coordinator/world.h"

namespace holdfast::coordinator {
namespace {

using ::testing::HasSubstr;

Record Asking(uint32_t min_nodes, uint32_t max_nodes, uint64_t memory = 0, uint32_t tasks = 0) {
  return {.min_nodes = min_nodes,
          .max_nodes = max_nodes,
          .node_memory_mb = memory,
          .tasks_per_node = tasks};
}

TEST(DemandOf, WhatANodeHasToHaveFollowsThePodsOnIt) {
  EXPECT_EQ(DemandOf({.pods = 2, .nodes = 1}, Asking(2, 2, 1000, 4)),
            (Demand{.min_nodes = 1, .max_nodes = 1, .node_memory_mb = 2000, .tasks_per_node = 8}));
  EXPECT_EQ(DemandOf({.pods = 2, .nodes = 2, .before = 1}, Asking(2, 2, 2000, 8)),
            (Demand{.min_nodes = 2, .max_nodes = 2, .node_memory_mb = 1000, .tasks_per_node = 4}));
  EXPECT_EQ(DemandOf({.pods = 5, .nodes = 2}, Asking(5, 5, 100)),
            (Demand{.min_nodes = 2, .max_nodes = 2, .node_memory_mb = 300}));
  EXPECT_EQ(DemandOf({.pods = 2, .nodes = 2}, Asking(2, 2, 1000)), std::nullopt);
}

TEST(DemandOf, WithoutANumberThereMayBeNoMoreNodesThanPods) {
  EXPECT_EQ(DemandOf({.pods = 2}, Asking(1, 4, 1000)), (Demand{.min_nodes = 1, .max_nodes = 2}));
  EXPECT_EQ(DemandOf({.pods = 2}, Asking(1, 0)), (Demand{.min_nodes = 1, .max_nodes = 2}));
  EXPECT_EQ(DemandOf({.pods = 2}, Asking(2, 2)), std::nullopt);
  EXPECT_EQ(DemandOf({.pods = 2}, Asking(1, 2)), std::nullopt);
  EXPECT_EQ(DemandOf({.pods = 2}, Asking(3, 3)), std::nullopt) << "somebody wants it so";
}

// It has run on three nodes.
class SpreadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    world.StartJob();
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kRunning);
    world.slurm.min_nodes = world.slurm.max_nodes = 3;
  }
  Status Migrate(uint32_t nodes) {
    return world.Happen(Wish{.reason = Reason::kMigrate, .stop = true, .nodes = nodes});
  }
  void ToQueue() {
    world.Settle();
    world.Vacate();
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kWaiting);
  }
  World world{3};
};

TEST_F(SpreadTest, ItIsRestoredOnFewerNodesWithAllItsPodsAndOnAllAgain) {
  ASSERT_TRUE(Migrate(2));
  ToQueue();
  EXPECT_EQ(world.spread, (Spread{.pods = 3, .nodes = 2}));
  world.slurm.min_nodes = world.slurm.max_nodes = 2;
  world.StartJobOn(2);
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.wardens.size(), 3U);
  EXPECT_EQ(world.job.pods.size(), 3U);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
  EXPECT_EQ(world.job.request.nodes, 0U);

  // As it is, until somebody wants it otherwise.
  ASSERT_TRUE(Migrate(0));
  ToQueue();
  EXPECT_EQ(world.spread, (Spread{.pods = 3, .before = 2}));
  world.StartJobOn(2);
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  ASSERT_TRUE(Migrate(3));
  ToQueue();
  EXPECT_EQ(world.spread, (Spread{.pods = 3, .nodes = 3, .before = 2}));
  world.StartJobOn(3);
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 3U);
}

TEST_F(SpreadTest, ItIsRestoredOnMoreNodesThanItHasPods) {
  ASSERT_TRUE(Migrate(0));
  ToQueue();
  world.StartJobOn(4);
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.pods.size(), 3U);
}

TEST_F(SpreadTest, ACoordinatorThatIsKilledMeanwhileTellsAgain) {
  ASSERT_TRUE(Migrate(1));
  ToQueue();
  world.StartJobOn(1);
  world.Connect(0);  // and is told, and does not hear it
  ASSERT_EQ(world.job.pods.size(), 3U);
  world.RestartCoordinator();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.wardens.size(), 3U);
}

TEST_F(SpreadTest, WhatCannotBeIsRefused) {
  const Status more = Migrate(4);
  ASSERT_FALSE(more);
  EXPECT_THAT(more.error().message(), HasSubstr("it began on 3 nodes"));
  world.job.pod_count = 40;
  const Status crowded = Migrate(2);
  ASSERT_FALSE(crowded);
  EXPECT_THAT(crowded.error().message(), HasSubstr("more than 16 on a node"));
}

TEST_F(SpreadTest, ItGoesWhereItWasIfSlurmHasNoSuchNodes) {
  ASSERT_TRUE(Migrate(1));
  ToQueue();
  world.slurm.min_nodes = world.slurm.max_nodes = 1;
  world.slurm.unsatisfiable = true;
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  EXPECT_EQ(world.spread, (Spread{.pods = 3, .nodes = 3, .before = 1}));
  EXPECT_THAT(world.comment, HasSubstr("nowhere to be had"));
}

TEST_F(SpreadTest, WhoBeginsAnewHasAsManyPodsAsNodes) {
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSave, .stop = true, .hold = true}));
  world.Settle();
  world.Vacate();
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kHeld);
  world.check_kept = false;
  ASSERT_TRUE(world.Happen(Resume{.from_start = true}));
  world.StartJobOn(2);
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.pod_count, 2U);
}

}  // namespace
}  // namespace holdfast::coordinator
