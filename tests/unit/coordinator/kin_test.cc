#include "coordinator/kin.h"

#include <gmock/gmock.h>

#include "tests/unit/coordinator/world.h"

namespace holdfast::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

NodeRecord Node(const char* name, const char* features) {
  return {.name = name, .features = features};
}

TEST(KinOf, AreTheNodesWithTheSameFeatures) {
  const std::vector<NodeRecord> nodes{Node("n1", "skylake,ib"), Node("n2", "haswell,ib"),
                                      Node("n3", "haswell,ib"), Node("n4", "haswell"),
                                      Node("n5", "")};
  EXPECT_THAT(KinOf({.node = "n2", .fit = {"n1"}}, nodes), ElementsAre("n3"));
  EXPECT_THAT(KinOf({.node = "n2", .fit = {}}, nodes), ElementsAre("n3"));
  EXPECT_THAT(KinOf({.node = "n5", .fit = {}}, nodes), IsEmpty()) << "they say nothing of it";
  EXPECT_THAT(KinOf({.node = "n9", .fit = {}}, nodes), IsEmpty());
}

TEST(KinOf, NobodyIsIfTheJobRanOnANodeOfTheSameFeatures) {
  const std::vector<NodeRecord> nodes{Node("n1", "ib"), Node("n2", "ib"), Node("n3", "ib")};
  EXPECT_THAT(KinOf({.node = "n2", .fit = {"n1"}}, nodes), IsEmpty());
}

// A job that was saved on nodes that have what others lack, and is on its way.
class UnfitTest : public ::testing::Test {
 protected:
  void SetUp() override {
    world.StartJob();
    world.Settle();
    ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kMigrate, .stop = true}));
    ToQueue();
  }
  void ToQueue() {
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kLeaving);
    world.Vacate();
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kWaiting);
  }
  // Slurm starts it on a node that lacks something.
  void StartUnfit() {
    world.StartJob();
    world.Connect(0);
    world.Read(0, World::Fault::kUnfit);
    ASSERT_TRUE(world.Hear(0));
    ToQueue();
  }
  World world{1};
};

TEST_F(UnfitTest, ItIsExcludedAsLongAsTheJobGoesOnAndDoesNotCountAsAFailure) {
  const std::string ran_on = world.NodeOf(0);
  StartUnfit();
  const std::string first = world.NodeOf(0);
  EXPECT_THAT(world.slurm.excluded, ElementsAre(first));
  EXPECT_THAT(world.comment, HasSubstr("avx512f; it waits for another node"));
  ASSERT_TRUE(world.find_kin);
  EXPECT_EQ(world.find_kin->node, first);
  EXPECT_THAT(world.find_kin->fit, ElementsAre(ran_on));
  for (int more = 0; more < 4; ++more) StartUnfit();
  EXPECT_EQ(world.job.attempts, 0U);

  world.StartJob();
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.comment, "");
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kMigrate, .stop = true}));
  ToQueue();
  EXPECT_THAT(world.slurm.excluded, ::testing::Contains(first)) << "it lacks that still";
}

TEST_F(UnfitTest, ItsKinIsExcludedToo) {
  StartUnfit();
  ASSERT_TRUE(world.Happen(Kin{{"m1", "m2"}}));
  EXPECT_THAT(world.slurm.excluded, ElementsAre("m1", "m2", world.NodeOf(0)));
  EXPECT_TRUE(world.job.exclusions.user.empty());
}

TEST_F(UnfitTest, ItIsHeldIfNoOtherNodeIsLeft) {
  StartUnfit();
  world.slurm.unsatisfiable = world.slurm.held = true;
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  EXPECT_EQ(world.job.stage, Stage::kHeld);
  EXPECT_THAT(world.comment, HasSubstr("no node that it may go to has what it needs"));
  EXPECT_THAT(world.comment, HasSubstr("avx512f"));
}

TEST_F(UnfitTest, WhoBeginsAnewMayGoAnywhere) {
  StartUnfit();
  ASSERT_TRUE(world.Happen(Resume{.from_start = true}));
  EXPECT_THAT(world.slurm.excluded, IsEmpty());
}

}  // namespace
}  // namespace holdfast::coordinator
