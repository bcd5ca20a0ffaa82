#include "pod/supervisor.h"

#include <gmock/gmock.h>

namespace holdfast::pod {
namespace {

using ::testing::Contains;
using ::testing::Not;

TEST(PodStepCommand, StartsOneTaskOnEachNode) {
  const auto command = PodStepCommand({"SLURM_JOB_NUM_NODES=3"}, "/x/holdfast-batch", "name");
  ASSERT_TRUE(command) << command.error().message();
  for (const char* const argument : {"srun", "--overlap", "--nodes=3", "--ntasks=3",
                                     "--ntasks-per-node=1", "/x/holdfast-batch", "--task"})
    EXPECT_THAT(command->argv, Contains(argument));
  ASSERT_TRUE(command->env);
  EXPECT_THAT(*command->env, Contains("HOLDFAST_POD_STEP=name"));
}

TEST(PodStepCommand, StartsSeveralOnANodeIfThereAreMorePodsThanNodes) {
  const auto several = PodStepCommand({"SLURM_JOB_NUM_NODES=2"}, "/x/holdfast-batch", "name", 5);
  ASSERT_TRUE(several) << several.error().message();
  for (const char* const argument :
       {"--nodes=2", "--ntasks=5", "--ntasks-per-node=3", "--distribution=block", "--overcommit"})
    EXPECT_THAT(several->argv, Contains(argument));
  const auto fewer = PodStepCommand({"SLURM_JOB_NUM_NODES=2"}, "/x/holdfast-batch", "name", 1);
  ASSERT_TRUE(fewer) << fewer.error().message();
  for (const char* const argument : {"--nodes=1", "--ntasks=1", "--ntasks-per-node=1"})
    EXPECT_THAT(fewer->argv, Contains(argument));
}

TEST(PodStepCommand, PassesWhatDescribesTheJobAndNoOptionsOfTheStep) {
  const auto command = PodStepCommand(
      {"SLURM_JOB_NUM_NODES=1", "PATH=/bin", "SLURM_JOB_ID=7", "SLURM_RESTART_COUNT=2",
       "SLURM_CPUS_PER_TASK=4", "SLURM_SPANK__SLURM_SPANK_OPTION_holdfast_checkpoint=on",
       "LD_PRELOAD=/home/alice/x.so"},
      "/x/holdfast-batch", "name");
  ASSERT_TRUE(command && command->env);
  for (const char* const kept : {"PATH=/bin", "SLURM_JOB_ID=7", "SLURM_RESTART_COUNT=2",
                                 "SLURM_SPANK__SLURM_SPANK_OPTION_holdfast_checkpoint=on"})
    EXPECT_THAT(*command->env, Contains(kept));
  for (const char* const dropped : {"SLURM_CPUS_PER_TASK=4", "LD_PRELOAD=/home/alice/x.so"})
    EXPECT_THAT(*command->env, Not(Contains(dropped)));
}

TEST(PodStepCommand, WantsToBeABatchStep) {
  const auto command = PodStepCommand({}, "/x/holdfast-batch", "name");
  ASSERT_FALSE(command);
  EXPECT_THAT(command.error().message(), ::testing::HasSubstr("SLURM_JOB_NUM_NODES"));
}

}  // namespace
}  // namespace holdfast::pod
