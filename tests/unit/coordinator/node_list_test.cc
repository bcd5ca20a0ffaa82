// A job with a --nodelist is moved as far as the list allows, and who wants more is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/world.h"

namespace holdfast::coordinator {
namespace {

using ::testing::HasSubstr;

class NodeListTest : public ::testing::Test {
 protected:
  // On n1 and n2.
  void Run(std::vector<std::string> listed) {
    world.slurm.listed = std::move(listed);
    world.StartJob();
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kRunning);
  }
  Status Migrate(std::vector<std::string> excluded, Reason reason = Reason::kMigrate) {
    return world.Happen(Wish{.reason = reason, .stop = true, .excluded = std::move(excluded)});
  }
  World world{2};
};

TEST_F(NodeListTest, WithoutOneItMayGoAnywhere) {
  Run({});
  EXPECT_FALSE(world.job.must_be_on("n1"));
  EXPECT_TRUE(Migrate({"n1", "n2"}));
}

TEST_F(NodeListTest, ItMustBeOnAllOfAListThatIsNotLongerThanItself) {
  Run({"n1"});
  EXPECT_TRUE(world.job.must_be_on("n1"));
  EXPECT_FALSE(world.job.must_be_on("n2"));
  const Status refused = Migrate({"n1"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kConflict);
  EXPECT_THAT(refused.error().message(),
              HasSubstr("its --nodelist has it on 1 of n1, and 0 would be left"));
  EXPECT_FALSE(Migrate({})) << "there is nothing that it could leave";
  EXPECT_TRUE(Migrate({"n2"}));
}

TEST_F(NodeListTest, ItChoosesFromALongerOne) {
  Run({"n1", "n2", "n3"});
  EXPECT_FALSE(world.job.must_be_on("n1"));
  EXPECT_FALSE(Migrate({"n1", "n2"}));
  EXPECT_TRUE(Migrate({"n1", "n9"}));
}

TEST_F(NodeListTest, TheUsersOwnExclusionsCountToo) {
  Run({"n1", "n2", "n3"});
  world.job.exclusions.user = {"n3"};
  EXPECT_FALSE(Migrate({"n1"}));
}

TEST_F(NodeListTest, ANodeThatIsTakenIsLeftAndWhatItWaitsForIsSaid) {
  Run({"n1", "n2"});
  ASSERT_TRUE(Migrate({"n1"}, Reason::kEvacuate));
  world.Settle();
  world.Vacate();
  ASSERT_EQ(world.job.stage, Stage::kWaiting);
  EXPECT_THAT(world.slurm.excluded, ::testing::ElementsAre("n1"));
  world.slurm.unsatisfiable = true;
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  EXPECT_TRUE(world.slurm.excluded.empty());
  EXPECT_THAT(world.comment, HasSubstr("nowhere without n1"));
  world.slurm.unsatisfiable = false;
  world.StartJob();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.comment, "");
}

}  // namespace
}  // namespace holdfast::coordinator
