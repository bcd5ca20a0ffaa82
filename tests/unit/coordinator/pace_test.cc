#include "coordinator/pace.h"

#include <gtest/gtest.h>

namespace holdfast::coordinator {
namespace {

using std::chrono::seconds;

constexpr Pace::Time kNow{seconds(1000)};

// How many begin in a minute, of so many jobs that ask again as soon as they may, and each second.
size_t InAMinute(Pace& pace, uid_t user, uint32_t jobs) {
  size_t begun = 0;
  std::set<std::pair<Pace::Time, uint32_t>> asking;
  for (uint32_t job = 0; job < jobs; ++job) asking.emplace(kNow, job);
  while (asking.begin()->first < kNow + seconds(60)) {
    const auto [at, job] = *asking.begin();
    asking.erase(asking.begin());
    const Pace::Time when = pace.WhenMay(user, job, at);
    begun += when == at;
    asking.emplace(when == at ? at + seconds(1) : when, job);
  }
  return begun;
}

TEST(Pace, FewAreNotHeldUp) {
  Pace pace;
  EXPECT_EQ(InAMinute(pace, 7, 10), 600U);
}

TEST(Pace, ManyTakeTurns) {
  Pace pace;
  EXPECT_EQ(InAMinute(pace, 7, 500), 1200U);
}

TEST(Pace, EveryJobHasItsTurn) {
  Pace pace;
  std::set<Pace::Time> times;
  for (uint32_t job = 0; job < 100; ++job) {
    const Pace::Time when = pace.WhenMay(7, job, kNow);
    EXPECT_TRUE(times.insert(when).second) << job;
    if (job > 0) {
      EXPECT_EQ(pace.WhenMay(7, job, when), when) << job;
    }
  }
  EXPECT_EQ(*times.rbegin(), kNow + 99 * Pace::kApart);
}

TEST(Pace, AnotherUserIsNotHeldUp) {
  Pace pace;
  InAMinute(pace, 7, 500);
  EXPECT_EQ(pace.WhenMay(8, 1000, kNow), kNow);
}

}  // namespace
}  // namespace holdfast::coordinator
