#include "pod/steps/allocator.h"

#include <gmock/gmock.h>

namespace holdfast::pod {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Two nodes with two CPUs and 512 MB each.
Allocator TwoNodes() {
  return Allocator(
      {{.host = "n1", .cpus = 2, .memory_mb = 512}, {.host = "n2", .cpus = 2, .memory_mb = 512}});
}

StepRequest Request(uint32_t tasks, uint32_t nodes) {
  return {.tasks = tasks, .min_nodes = nodes, .max_nodes = nodes};
}

StepGrant MustGrant(Allocator& allocator, const StepRequest& request) {
  auto answer = allocator.Allocate(request);
  const auto* grant = std::get_if<StepGrant>(&answer);
  EXPECT_TRUE(grant) << std::get<Refusal>(answer).reason;
  return grant ? *grant : StepGrant{};
}

Refusal MustRefuse(Allocator& allocator, const StepRequest& request) {
  auto answer = allocator.Allocate(request);
  const auto* refusal = std::get_if<Refusal>(&answer);
  EXPECT_TRUE(refusal);
  return refusal ? *refusal : Refusal{};
}

TEST(Allocator, GivesWholeNodesAndTheirCpus) {
  Allocator allocator = TwoNodes();
  const StepGrant grant = MustGrant(allocator, Request(3, 2));
  EXPECT_EQ(grant.step, 0U);
  ASSERT_EQ(grant.nodes.size(), 2U);
  EXPECT_THAT(grant.nodes[0].tasks, ElementsAre(0, 1));
  EXPECT_THAT(grant.nodes[1].tasks, ElementsAre(2));
  EXPECT_THAT(grant.nodes[1].cpus, ElementsAre(0, 1));
}

TEST(Allocator, GoesRoundTheNodes) {
  Allocator allocator = TwoNodes();
  for (const char* host : {"n1", "n2", "n1"}) {
    const StepGrant grant = MustGrant(allocator, Request(1, 1));
    EXPECT_EQ(grant.nodes.at(0).host, host);
    allocator.Release(grant.step);
  }
}

TEST(Allocator, WaitsForOthersUnlessItOverlaps) {
  Allocator allocator = TwoNodes();
  const StepGrant all = MustGrant(allocator, Request(4, 2));
  EXPECT_FALSE(MustRefuse(allocator, Request(1, 1)).for_ever);
  StepRequest over = Request(4, 2);
  over.overlap = true;
  MustGrant(allocator, over);
  allocator.Release(all.step);
  MustGrant(allocator, Request(4, 2));
}

TEST(Allocator, ExactStepsShareANode) {
  Allocator allocator = TwoNodes();
  StepRequest one = Request(1, 1);
  one.exact = true;
  one.hosts = {"n2"};
  EXPECT_THAT(MustGrant(allocator, one).nodes.at(0).cpus, ElementsAre(0));
  EXPECT_THAT(MustGrant(allocator, one).nodes.at(0).cpus, ElementsAre(1));
  EXPECT_EQ(MustRefuse(allocator, one).reason, "Requested nodes are busy");
}

TEST(Allocator, CountsMemory) {
  Allocator allocator = TwoNodes();
  StepRequest large = Request(1, 1);
  large.exact = true;
  large.node_memory_mb = 300;
  large.hosts = {"n1"};
  MustGrant(allocator, large);
  EXPECT_FALSE(MustRefuse(allocator, large).for_ever);
  large.node_memory_mb = 600;
  EXPECT_TRUE(MustRefuse(allocator, large).for_ever);
}

TEST(Allocator, SaysWhatCanNeverBe) {
  Allocator allocator = TwoNodes();
  EXPECT_EQ(MustRefuse(allocator, Request(5, 2)).reason,
            "More processors requested than permitted");
  StepRequest wide = Request(2, 1);
  wide.cpus_per_task = 2;
  EXPECT_TRUE(MustRefuse(allocator, wide).for_ever);
  StepRequest elsewhere = Request(1, 1);
  elsewhere.hosts = {"n9"};
  EXPECT_EQ(MustRefuse(allocator, elsewhere).reason,
            "Requested node configuration is not available");
  StepRequest over = Request(5, 1);
  over.overcommit = true;
  EXPECT_THAT(MustGrant(allocator, over).nodes.at(0).tasks, ElementsAre(0, 1, 2, 3, 4));
}

TEST(Allocator, TakesHostsAsTheyAreListed) {
  Allocator allocator = TwoNodes();
  StepRequest request = Request(3, 2);
  request.distribution = Distribution::kArbitrary;
  request.hosts = {"n2", "n1", "n2"};
  const StepGrant grant = MustGrant(allocator, request);
  EXPECT_THAT(grant.nodes.at(0).tasks, ElementsAre(1));
  EXPECT_THAT(grant.nodes.at(1).tasks, ElementsAre(0, 2));
}

TEST(ResourcesOf, ReadsTheJobsVariables) {
  const auto nodes =
      ResourcesOf({"SLURM_JOB_CPUS_PER_NODE=4,2", "SLURM_MEM_PER_CPU=100"}, {"n1", "n2"});
  EXPECT_EQ(nodes.at(0).cpus, 4U);
  EXPECT_EQ(nodes.at(1).memory_mb, 200U);
  EXPECT_THAT(ResourcesOf({}, {}), IsEmpty());
}

}  // namespace
}  // namespace holdfast::pod
