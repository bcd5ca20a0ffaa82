#include "config/spelling.h"

#include <gtest/gtest.h>

namespace holdfast::config {
namespace {

TEST(Spelling, CountsEdits) {
  EXPECT_EQ(EditDistance("", ""), 0u);
  EXPECT_EQ(EditDistance("keep", ""), 4u);
  EXPECT_EQ(EditDistance("keep", "keep"), 0u);
  EXPECT_EQ(EditDistance("keep", "kep"), 1u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
  EXPECT_EQ(EditDistance("shwo", "show"), 1u);
  EXPECT_EQ(EditDistance("ab", "ba"), 1u);
}

TEST(Spelling, SuggestsASlipOnly) {
  const std::set<std::string> words{"directory", "interval", "keep"};
  EXPECT_EQ(ClosestWord("intervall", words), "interval");
  EXPECT_EQ(ClosestWord("directroy", words), "directory");
  EXPECT_EQ(ClosestWord("kepe", words), "keep");
  EXPECT_EQ(ClosestWord("compression", words), std::nullopt);
  EXPECT_EQ(ClosestWord("", words), std::nullopt);
}

}  // namespace
}  // namespace holdfast::config
