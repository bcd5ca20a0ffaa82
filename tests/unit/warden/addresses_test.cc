#include <gmock/gmock.h>

#include "warden/isolation/network.h"

namespace holdfast::warden {
namespace {

using ::testing::HasSubstr;

TEST(PodAddress, CountsFromTheSubnetsFirstHost) {
  EXPECT_EQ(PodAddress("198.18.0.0/16", 0).value(), "198.18.0.1");
  EXPECT_EQ(PodAddress("198.18.0.0/16", 255).value(), "198.18.1.0");
  EXPECT_EQ(PodAddress("198.18.77.1/16", 2).value(), "198.18.0.3");
}

TEST(PodAddress, RefusesAPodBeyondTheSubnet) {
  EXPECT_EQ(PodAddress("10.0.0.0/30", 1).value(), "10.0.0.2");
  const auto beyond = PodAddress("10.0.0.0/30", 2);
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code(), Code::kInvalid);
  EXPECT_THAT(beyond.error().message(), HasSubstr("no room for pod 2"));
}

TEST(PodAddress, RefusesWhatIsNoSubnet) {
  for (const char* text : {"", "198.18.0.0", "198.18.0.0/0", "198.18.0.0/31", "198.18.0.0/16x",
                           "198.18.0/16", "::1/64"})
    EXPECT_FALSE(PodAddress(text, 0)) << text;
}

TEST(MakeHosts, NamesLocalhostAndEveryPeer) {
  NetworkOptions options{.subnet = "198.18.0.0/16"};
  options.peers = {{.pod = 0, .node_address = "10.1.1.1", .hostname = "n1"},
                   {.pod = 1, .node_address = "10.1.1.2", .hostname = "n2"}};
  const std::string hosts = MakeHosts(options).value();
  EXPECT_THAT(hosts, HasSubstr("127.0.0.1 localhost\n"));
  EXPECT_THAT(hosts, HasSubstr("198.18.0.1 n1\n"));
  EXPECT_THAT(hosts, HasSubstr("198.18.0.2 n2\n"));
}

}  // namespace
}  // namespace holdfast::warden
