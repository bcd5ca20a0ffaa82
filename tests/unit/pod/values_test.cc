#include "pod/steps/values.h"

#include <gmock/gmock.h>
#include <signal.h>

namespace holdfast::pod {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;

TEST(Values, SizesTimesAndSignals) {
  EXPECT_THAT(ParseMegabytes("100M"), Eq(100U));
  EXPECT_THAT(ParseMegabytes("2G"), Eq(2048U));
  EXPECT_THAT(ParseMegabytes("x"), Eq(std::nullopt));
  EXPECT_THAT(ParseLimitSeconds("1"), Eq(60U));
  EXPECT_THAT(ParseLimitSeconds("0:30"), Eq(30U));
  EXPECT_THAT(ParseLimitSeconds("1:00:00"), Eq(3600U));
  EXPECT_THAT(ParseLimitSeconds("1-2"), Eq(93600U));
  EXPECT_THAT(ParseSignal("SIGUSR1"), Eq(SIGUSR1));
  EXPECT_THAT(ParseSignal("9"), Eq(9));
  EXPECT_THAT(ParseSignal("NONE"), Eq(std::nullopt));
}

TEST(Values, Masks) {
  EXPECT_THAT(*ParseMask("0x105"), ElementsAre(0, 2, 8));
  EXPECT_EQ(FormatMask({0, 2, 8}), "0x105");
  EXPECT_EQ(FormatMask({}), "0x0");
  EXPECT_FALSE(ParseMask("0xg"));
}

}  // namespace
}  // namespace holdfast::pod
