#include "base/numbers.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace holdfast {
namespace {

TEST(ParseNumber, TakesDigitsInRange) {
  EXPECT_EQ(ParseNumber<uint32_t>("0"), 0u);
  EXPECT_EQ(ParseNumber<uint32_t>("4294967295"), 4294967295u);
  EXPECT_EQ(ParseNumber<int>("42"), 42);
}

TEST(ParseNumber, RefusesEverythingElse) {
  for (const char* text : {"", " 1", "1 ", "+1", "-1", "0x10", "1.5", "4294967296", "one"})
    EXPECT_FALSE(ParseNumber<uint32_t>(text)) << text;
}

}  // namespace
}  // namespace holdfast
