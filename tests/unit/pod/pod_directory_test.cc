#include "pod/pod_directory.h"

#include <gtest/gtest.h>

namespace holdfast::pod {
namespace {

TEST(Peers, ComeBackAsTheyWere) {
  const std::vector<Peer> peers{{"198.18.0.1", "n1"}, {"198.18.0.2", "n2.cluster.example"}};
  const auto parsed = ParsePeers(SerializePeers(peers));
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(*parsed, peers);
}

TEST(Peers, RefusesMalformedLines) {
  for (const char* text : {"198.18.0.1 n1", "198.18.0.1\n", "198.18.0.1 \n", "\n", "n1 n1\n"})
    EXPECT_FALSE(ParsePeers(text)) << text;
}

}  // namespace
}  // namespace holdfast::pod
