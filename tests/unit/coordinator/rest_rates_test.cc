#include "coordinator/rest_rates.h"

#include <gtest/gtest.h>

namespace holdfast::coordinator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(RestRatesTest, AMinutesRequestsMayComeAtOnceAndThenOneByOne) {
  RestRates rates;
  rates.Allow(60);
  const RestRates::Time begin{};
  for (int i = 0; i < 60; ++i) EXPECT_FALSE(rates.Take(7, begin)) << i;
  EXPECT_EQ(rates.Take(7, begin), seconds(1));
  EXPECT_FALSE(rates.Take(8, begin)) << "somebody else";
  EXPECT_TRUE(rates.Take(7, begin + milliseconds(900)));
  EXPECT_FALSE(rates.Take(7, begin + milliseconds(1100)));
  EXPECT_TRUE(rates.Take(7, begin + milliseconds(1200)));
}

TEST(RestRatesTest, TheWaitIsAsLongAsOneRequestTakes) {
  RestRates rates;
  rates.Allow(2);
  const RestRates::Time begin{};
  EXPECT_FALSE(rates.Take(7, begin));
  EXPECT_FALSE(rates.Take(7, begin));
  EXPECT_EQ(rates.Take(7, begin), seconds(30));
  EXPECT_FALSE(rates.Take(7, begin + seconds(30)));
}

TEST(RestRatesTest, WhoWaitsHasNoMoreThanAMinutesRequests) {
  RestRates rates;
  rates.Allow(2);
  const RestRates::Time begin{};
  EXPECT_FALSE(rates.Take(7, begin));
  const RestRates::Time later = begin + std::chrono::hours(9);
  EXPECT_FALSE(rates.Take(7, later));
  EXPECT_FALSE(rates.Take(7, later));
  EXPECT_TRUE(rates.Take(7, later));
}

TEST(RestRatesTest, NoneIsNoLimit) {
  RestRates rates;
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(rates.Take(7, RestRates::Time{}));
}

}  // namespace
}  // namespace holdfast::coordinator
