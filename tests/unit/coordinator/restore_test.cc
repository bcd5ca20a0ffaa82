// Restores, and what is tried when they fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/state_fixture.h"

namespace holdfast::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RestoreTest : public StateTest {
 protected:
  void SetUp() override {
    Run();
    ASSERT_TRUE(Save());
    world.Settle();
    ASSERT_TRUE(Save(true));
    world.Settle();
    GoToRestore();
  }
  void GoToRestore() {
    world.Vacate();
    ASSERT_EQ(world.job.stage, Stage::kWaiting);
    world.StartJob();
    world.Connect(0);
    world.Connect(1);
    ASSERT_EQ(world.job.stage, Stage::kPreparing);
  }
};

TEST_F(RestoreTest, ExclusionsAreForOneStartAndKeepTheUsers) {
  EXPECT_THAT(world.slurm.excluded, ElementsAre("n1", "n2"));
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  world.slurm.excluded.push_back("n9");  // the user's own, meanwhile
  std::ranges::sort(world.slurm.excluded);
  world.job.exclusions.user = {"n9"};
  world.job.exclusions.set = world.slurm.excluded;
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kMigrate, .stop = true, .excluded = {"n3"}}));
  world.Settle();
  world.Vacate();
  EXPECT_THAT(world.slurm.excluded, ElementsAre("n3", "n9"));
}

TEST_F(RestoreTest, ExclusionsAreSetUntilSlurmHasThem) {
  world.Settle();
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kMigrate, .stop = true, .excluded = {"n3"}}));
  world.Settle();
  world.Vacate();
  ASSERT_EQ(world.job.stage, Stage::kWaiting);
  world.slurm.excluded = {"n1", "n2"};  // slurmctld was killed before it had kept the change
  world.RestartCoordinator();
  world.AnswerAsk();
  EXPECT_THAT(world.slurm.excluded, ElementsAre("n3"));
  world.AnswerAsk();
  world.slurm.excluded = {"n3", "n9"};  // from now on that is the user's own doing
  world.AnswerAsk();
  EXPECT_THAT(world.slurm.excluded, ElementsAre("n3", "n9"));
}

TEST_F(RestoreTest, FailureIsTriedOnOtherNodesThenHeld) {
  EXPECT_THAT(world.slurm.excluded, ElementsAre("n1", "n2"));
  ASSERT_TRUE(Fail(1, v1::PHASE_FRESH, "unsupported"));
  const std::string first = world.job.nodes()[1];
  EXPECT_THAT(world.job.exclusions.next, ElementsAre(first));
  world.Settle();
  GoToRestore();
  EXPECT_THAT(world.slurm.excluded, ElementsAre(first)) << "where it may go back to counts no more";
  ASSERT_TRUE(Fail(1, v1::PHASE_FRESH, "unsupported"));
  world.Settle();
  GoToRestore();
  ASSERT_TRUE(Fail(0, v1::PHASE_FRESH, "unsupported"));
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kHeld);
  EXPECT_THAT(world.comment, HasSubstr("attempt 3 of 3"));
  EXPECT_THAT(world.comment, HasSubstr("restoring checkpoint 2 of job 7"));
}

TEST_F(RestoreTest, ChangedFilesHoldAtOnce) {
  ASSERT_TRUE(Fail(0, v1::PHASE_FRESH, "changed"));
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kHeld);
  EXPECT_THAT(world.comment, HasSubstr("because of changed"));
}

TEST_F(RestoreTest, DamagedCheckpointFallsBackToTheOneBefore) {
  ASSERT_TRUE(Fail(0, v1::PHASE_FRESH, "corrupt"));
  world.Settle();
  GoToRestore();
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
  ASSERT_TRUE(Fail(0, v1::PHASE_FRESH, "corrupt"));
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kHeld);
}

TEST_F(RestoreTest, MemoryThatIsDamagedFallsBackToTheCheckpointBefore) {
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  ASSERT_TRUE(Fail(1, v1::PHASE_RUNNING, "corrupt"));
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  world.Settle();
  GoToRestore();
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

TEST_F(RestoreTest, MemoryThatDoesNotComeIsTriedElsewhereThenHeld) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kRunning);
    ASSERT_TRUE(Fail(1, v1::PHASE_RUNNING, "unavailable"));
    EXPECT_EQ(world.job.start.restore_checkpoint, 2U);
    world.Settle();
    GoToRestore();
  }
  world.Settle();
  ASSERT_TRUE(Fail(0, v1::PHASE_RUNNING, "unavailable"));
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kHeld);
  EXPECT_THAT(world.comment, HasSubstr("attempt 3 of 3"));
}

TEST_F(RestoreTest, MemoryMayBeMissedWhenTheNextCheckpointBegins) {
  world.Settle();
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSave}));
  ASSERT_EQ(world.job.stage, Stage::kFreezing);
  ASSERT_TRUE(Fail(1, v1::PHASE_RUNNING, "unavailable"));
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_EQ(world.job.newest(), 2U);
}

TEST_F(RestoreTest, ResumeMayNameACheckpoint) {
  ASSERT_TRUE(Fail(0, v1::PHASE_FRESH, "changed"));
  world.RunThroughQueue();
  ASSERT_EQ(world.job.stage, Stage::kHeld);
  EXPECT_FALSE(world.Happen(Resume{.checkpoint = 9}));
  ASSERT_TRUE(world.Happen(Resume{.excluded = {"n1"}, .checkpoint = 1}));
  EXPECT_THAT(world.slurm.excluded, ElementsAre("n1"));
  world.StartJob();
  world.Settle();
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

}  // namespace
}  // namespace holdfast::coordinator
