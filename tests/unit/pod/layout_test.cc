#include "pod/steps/layout.h"

#include <gmock/gmock.h>

namespace holdfast::pod {
namespace {

using ::testing::ElementsAre;

// What Slurm 24.11 did in the lab.
TEST(CountTasks, DealsInTurnsWhereThereIsRoom) {
  EXPECT_THAT(CountTasks(4, {2, 2}, Distribution::kBlock, 0), ElementsAre(2, 2));
  EXPECT_THAT(CountTasks(3, {2, 2}, Distribution::kBlock, 0), ElementsAre(2, 1));
  EXPECT_THAT(CountTasks(5, {4, 1, 4}, Distribution::kBlock, 0), ElementsAre(2, 1, 2));
  EXPECT_THAT(CountTasks(4, {2, 2}, Distribution::kPlane, 2), ElementsAre(2, 2));
  EXPECT_THAT(CountTasks(6, {2, 2}, Distribution::kCyclic, 0), ElementsAre(3, 3));
}

TEST(NumberTasks, InBlocksTurnsAndPlanes) {
  EXPECT_THAT(NumberTasks({2, 2}, Distribution::kBlock, 0),
              ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3)));
  EXPECT_THAT(NumberTasks({2, 1}, Distribution::kCyclic, 0),
              ElementsAre(ElementsAre(0, 2), ElementsAre(1)));
  EXPECT_THAT(NumberTasks({3, 2}, Distribution::kPlane, 2),
              ElementsAre(ElementsAre(0, 1, 4), ElementsAre(2, 3)));
}

TEST(ResolveDistribution, NoMoreTasksThanNodesAreDealtInTurns) {
  EXPECT_EQ(ResolveDistribution(Distribution::kUnset, 2, 2), Distribution::kCyclic);
  EXPECT_EQ(ResolveDistribution(Distribution::kUnset, 3, 2), Distribution::kBlock);
  EXPECT_EQ(ResolveDistribution(Distribution::kPlane, 1, 2), Distribution::kPlane);
}

}  // namespace
}  // namespace holdfast::pod
