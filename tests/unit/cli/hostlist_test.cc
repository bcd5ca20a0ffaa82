#include "cli/hostlist.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::cli {
namespace {

using testing::ElementsAre;

std::vector<std::string> Expand(std::string_view text) {
  const auto names = ExpandHostlist(text);
  EXPECT_TRUE(names) << text;
  return names.value_or(std::vector<std::string>{});
}

TEST(Hostlist, IsExpanded) {
  EXPECT_THAT(Expand("n1"), ElementsAre("n1"));
  EXPECT_THAT(Expand("n1,gpu-2.site"), ElementsAre("n1", "gpu-2.site"));
  EXPECT_THAT(Expand("n[1-3,7],login01"), ElementsAre("n1", "n2", "n3", "n7", "login01"));
  EXPECT_THAT(Expand("n[098-101]"), ElementsAre("n098", "n099", "n100", "n101"));
  EXPECT_THAT(Expand("rack[1-2]-a"), ElementsAre("rack1-a", "rack2-a"));
}

TEST(Hostlist, RefusesTheRestByName) {
  for (const char* text : {"", ",", "n1,", "n[1-3", "n1-3]", "n[]", "n[3-1]", "n[a]", "n[1-]",
                           "n[-1]", "n[1][2]", "n 1", "n1;rm", "n[1-99999999]", "n[1,,2]"}) {
    const auto names = ExpandHostlist(text);
    ASSERT_FALSE(names) << text;
    EXPECT_EQ(names.error().code(), Code::kInvalid);
    EXPECT_NE(names.error().message().find(std::string("'") + text + "'"), std::string::npos);
  }
}

}  // namespace
}  // namespace holdfast::cli
