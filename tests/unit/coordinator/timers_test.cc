#include "coordinator/timers.h"

#include <gtest/gtest.h>

namespace holdfast::coordinator {
namespace {

using std::chrono::seconds;

TEST(Timers, ComeInTheOrderInWhichTheyAreDue) {
  const Timers::Time now{};
  Timers timers;
  EXPECT_FALSE(timers.next());
  timers.Arm({1, TimerKind::kPhase}, now + seconds(3));
  timers.Arm({2, TimerKind::kAsk}, now + seconds(1));
  timers.Arm({1, TimerKind::kAsk}, now + seconds(2));
  EXPECT_EQ(timers.next(), now + seconds(1));
  EXPECT_FALSE(timers.TakeDue(now));
  EXPECT_EQ(timers.TakeDue(now + seconds(2)), Timers::Key(2, TimerKind::kAsk));
  EXPECT_EQ(timers.TakeDue(now + seconds(2)), Timers::Key(1, TimerKind::kAsk));
  EXPECT_FALSE(timers.TakeDue(now + seconds(2)));
  EXPECT_EQ(timers.next(), now + seconds(3));
}

TEST(Timers, ArmedAnewIsDueThen) {
  const Timers::Time now{};
  Timers timers;
  timers.Arm({1, TimerKind::kPhase}, now + seconds(1));
  timers.Arm({1, TimerKind::kPhase}, now + seconds(5));
  EXPECT_FALSE(timers.TakeDue(now + seconds(4)));
  EXPECT_TRUE(timers.TakeDue(now + seconds(5)));
  EXPECT_FALSE(timers.next());
}

TEST(Timers, DisarmedIsNotDue) {
  const Timers::Time now{};
  Timers timers;
  for (const uint32_t job : {1U, 2U, 3U})
    for (const TimerKind kind : {TimerKind::kPhase, TimerKind::kKept})
      timers.Arm({job, kind}, now + seconds(job));
  timers.DisarmAll(2);
  timers.Disarm({1, TimerKind::kPhase});
  timers.Disarm({1, TimerKind::kPhase});
  EXPECT_EQ(timers.TakeDue(now + seconds(9)), Timers::Key(1, TimerKind::kKept));
  EXPECT_EQ(timers.TakeDue(now + seconds(9)), Timers::Key(3, TimerKind::kPhase));
  EXPECT_EQ(timers.TakeDue(now + seconds(9)), Timers::Key(3, TimerKind::kKept));
  EXPECT_FALSE(timers.TakeDue(now + seconds(9)));
}

}  // namespace
}  // namespace holdfast::coordinator
