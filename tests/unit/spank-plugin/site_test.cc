#include <gtest/gtest.h>

#include "spank-plugin/plugin.h"

namespace holdfast::spank {
namespace {

Result<Site> Parse(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  return ParseSite(static_cast<int>(argv.size()), argv.data());
}

TEST(Site, HasDefaults) {
  const auto site = Parse({});
  ASSERT_TRUE(site);
  EXPECT_EQ(site->libexec, HOLDFAST_LIBEXEC);
  EXPECT_EQ(site->config, "/etc/holdfast/holdfast.yaml");
}

TEST(Site, TakesBothArguments) {
  const auto site = Parse({"libexec=/opt/hf/libexec", "config=/opt/hf/etc/holdfast.yaml"});
  ASSERT_TRUE(site);
  EXPECT_EQ(site->libexec, "/opt/hf/libexec");
  EXPECT_EQ(site->config, "/opt/hf/etc/holdfast.yaml");
}

TEST(Site, NamesAnArgumentItDoesNotKnow) {
  for (const char* argument : {"libexec", "libexec=", "libexec=here", "conf=/x", ""}) {
    const auto site = Parse({argument});
    ASSERT_FALSE(site) << argument;
    EXPECT_NE(site.error().message().find("'" + std::string(argument) + "'"), std::string::npos);
  }
}

}  // namespace
}  // namespace holdfast::spank
