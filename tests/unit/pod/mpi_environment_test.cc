#include "pod/mpi_environment.h"

#include <gmock/gmock.h>

namespace holdfast::pod {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

const std::vector<Peer> kPeers{{"198.18.0.1", "n1"}, {"198.18.0.2", "n2"}};

TEST(ParseCounts, ReadsSlurmsNotation) {
  EXPECT_THAT(ParseCounts("2").value(), ElementsAre(2U));
  EXPECT_THAT(ParseCounts("2(x3),1").value(), ElementsAre(2U, 2U, 2U, 1U));
}

TEST(ParseCounts, RefusesTheRest) {
  for (const char* const text : {"", "x", "2(", "2(x", "2(x)", "2(x3", "2,", ",2", "-1", "2(x3)4",
                                 "1(x1000001)", "1(x999999),1(x2)"})
    EXPECT_FALSE(ParseCounts(text)) << text;
}

TEST(SlotsOf, PrefersTasksToCpus) {
  EXPECT_THAT(SlotsOf({"SLURM_JOB_CPUS_PER_NODE=8(x2)", "SLURM_TASKS_PER_NODE=2,1"}, 2).value(),
              ElementsAre(2U, 1U));
  EXPECT_THAT(SlotsOf({"SLURM_JOB_CPUS_PER_NODE=8(x2)"}, 2).value(), ElementsAre(8U, 8U));
  EXPECT_THAT(SlotsOf({}, 2).value(), ElementsAre(1U, 1U));
}

TEST(Hosts, AreWrittenAsEachLauncherReadsThem) {
  EXPECT_EQ(OpenMpiHosts(kPeers, {2, 1}), "n1 slots=2\nn2 slots=1\n");
  EXPECT_EQ(MpichHosts(kPeers, {2, 1}), "n1:2\nn2:1\n");
}

TEST(AddEnvironment, LeavesWhatTheUserHasSet) {
  const auto environment =
      AddEnvironment({"PATH=/usr/bin", "OMPI_MCA_btl=self,tcp", "HYDRA_LAUNCHERX=1"});
  EXPECT_THAT(environment, Contains("OMPI_MCA_btl=self,tcp"));
  EXPECT_THAT(environment, Not(Contains("OMPI_MCA_btl=self,sm,tcp")));
  EXPECT_THAT(environment, Contains("HYDRA_LAUNCHER=ssh"));
  EXPECT_THAT(environment,
              Contains("I_MPI_HYDRA_BOOTSTRAP_EXEC=" + std::string("/run/holdfast/holdfast-rsh")));
}

}  // namespace
}  // namespace holdfast::pod
