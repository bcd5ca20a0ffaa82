#include "pod/rsh_client.h"

#include <gmock/gmock.h>

namespace holdfast::pod {
namespace {

using ::testing::HasSubstr;

TEST(ParseRshArguments, TakesWhatMpiLaunchersWrite) {
  const auto open_mpi = ParseRshArguments({"n2", "PRTE_PREFIX=/usr", "prted", "--x", "1"});
  ASSERT_TRUE(open_mpi) << open_mpi.error().message();
  EXPECT_EQ(open_mpi->host, "n2");
  EXPECT_EQ(open_mpi->command, "PRTE_PREFIX=/usr prted --x 1");

  const auto hydra = ParseRshArguments({"-x", "-p", "22", "alice@n3", "\"/usr/bin/hydra\"", "-v"});
  ASSERT_TRUE(hydra) << hydra.error().message();
  EXPECT_EQ(hydra->host, "n3");
  EXPECT_EQ(hydra->command, "\"/usr/bin/hydra\" -v");
}

TEST(ParseRshArguments, WantsAHostAndACommand) {
  EXPECT_FALSE(ParseRshArguments({}));
  EXPECT_FALSE(ParseRshArguments({"n1"}));
  EXPECT_FALSE(ParseRshArguments({"-l", "alice", "n1"}));
}

TEST(FindPeer, KnowsItByEveryName) {
  const std::vector<Peer> peers{{"198.18.0.1", "n1.example"}, {"198.18.0.2", "n2.example"}};
  for (const char* const name : {"n2", "n2.example", "198.18.0.2"}) {
    const auto peer = FindPeer(peers, name);
    ASSERT_TRUE(peer) << peer.error().message();
    EXPECT_EQ(*peer, peers[1]);
  }
  const auto stranger = FindPeer(peers, "n9");
  ASSERT_FALSE(stranger);
  EXPECT_THAT(stranger.error().message(), HasSubstr("n1.example n2.example"));
}

}  // namespace
}  // namespace holdfast::pod
