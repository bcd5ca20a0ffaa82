#include "base/duration.h"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

using std::chrono::seconds;

TEST(ParseDuration, TakesSlurmsFormsAndUnits) {
  const std::pair<const char*, long> kCases[] = {
      {"90", 5400},        {"90:30", 5430},        {"1:30:00", 5400}, {"1-12", 129600},
      {"1-12:30", 131400}, {"1-12:30:15", 131415}, {"45s", 45},       {"10m", 600},
      {"2h", 7200},        {"1d", 86400},          {"0", 0},
  };
  for (const auto& [text, expected] : kCases) {
    const auto parsed = ParseDuration(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(*parsed, seconds(expected)) << text;
  }
}

TEST(ParseDuration, RefusesTheRestByName) {
  for (const char* text : {"", "x", "10x", "-5", "1:2:3:4", "1-", "-1-2", ":", "5 m", "1.5h",
                           "99999999999999999999", "9999999999d"}) {
    const auto parsed = ParseDuration(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code(), Code::kInvalid);
    EXPECT_NE(parsed.error().message().find("'" + std::string(text) + "'"), std::string::npos);
  }
}

TEST(Format, ReadsWell) {
  EXPECT_EQ(FormatDuration(std::chrono::milliseconds(250)), "0.25 s");
  EXPECT_EQ(FormatDuration(seconds(185)), "3 min 5 s");
  EXPECT_EQ(FormatDuration(seconds(7800)), "2 h 10 min");
  EXPECT_EQ(FormatBytes(512), "512 B");
  EXPECT_EQ(FormatBytes(2ULL << 30), "2.0 GiB");
  EXPECT_EQ(FormatTimestamp(std::chrono::system_clock::time_point(std::chrono::milliseconds(1123))),
            "1970-01-01T00:00:01.123Z");
}

}  // namespace
}  // namespace holdfast
