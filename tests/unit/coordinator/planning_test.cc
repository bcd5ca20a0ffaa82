#include "coordinator/planning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace holdfast::coordinator {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kMB = 1'000'000;
constexpr uint64_t kGB = 1000 * kMB;

// A job of 64 GB that changes 10 MB/s; a checkpoint takes 1 s and 1 s a GB.
Cost Whole() {
  return {.ran = 120s,
          .to_safe = 65s,
          .stopped = 65s,
          .raw_bytes = 64 * kGB,
          .stored_bytes = 64 * kGB,
          .first = true};
}
Cost After(double ran) {
  const double gigabytes = ran * 0.01;
  const Seconds took{1 + gigabytes};
  return {.ran = Seconds(ran),
          .to_safe = took,
          .stopped = took,
          .raw_bytes = 64 * kGB,
          .stored_bytes = static_cast<uint64_t>(gigabytes * 1e9)};
}

class PlanningTest : public ::testing::Test {
 protected:
  Plan Make(bool automatic = true) const {
    return MakePlan({.automatic = automatic,
                     .interval = interval,
                     .nodes = nodes,
                     .notice = notice,
                     .costs = costs,
                     .interruptions = interruptions,
                     .limits = limits});
  }
  Seconds interval{0};
  size_t nodes = 1;
  Seconds notice{0};
  std::vector<Cost> costs;
  Interruptions interruptions;
  PlanLimits limits;
};

TEST(YoungDalyTest, IsYoungsFormulaWhereInterruptionsAreRare) {
  // sqrt(2 * 10 s * 7 d) = 3478 s; Daly's terms add less than a percent.
  EXPECT_NEAR(YoungDaly(10s, 168h).count(), std::sqrt(2 * 10.0 * 604800), 20);
}

TEST(YoungDalyTest, IsDalysWhereTheyAreNot) {
  // Equation 37 by hand: sqrt(2*60*600) * (1 + sqrt(0.05)/3 + 0.05/9) - 60.
  EXPECT_NEAR(YoungDaly(60s, 600s).count(), 229.8, 0.1);
  EXPECT_EQ(YoungDaly(1200s, 600s), 600s) << "no interval is better than the time there is";
  EXPECT_EQ(YoungDaly(5000s, 600s), 600s);
}

TEST(YoungDalyTest, TakesWhatIsDegenerate) {
  EXPECT_EQ(YoungDaly(0s, 600s), 0s);
  EXPECT_EQ(YoungDaly(0s, 0s), 0s);
  EXPECT_EQ(YoungDaly(10s, kForever), kForever);
  EXPECT_EQ(YoungDaly(0s, kForever), kForever);
}

// The interval is the best one: no other loses less in a simulation of what the formulas assume.
TEST(YoungDalyTest, LosesLeastInASimulation) {
  constexpr double kCost = 30, kBetween = 3600, kWork = 4e6;
  const auto time_taken = [](double interval) {
    std::mt19937_64 random(1);
    std::exponential_distribution<double> next(1 / kBetween);
    double clock = 0, work = 0, interrupted = next(random);
    while (work < kWork) {
      if (clock + interval + kCost <= interrupted) {
        clock += interval + kCost;
        work += interval;
      } else {
        clock = interrupted;
        interrupted = clock + next(random);
      }
    }
    return clock;
  };
  const double best = YoungDaly(Seconds(kCost), Seconds(kBetween)).count();
  EXPECT_LT(time_taken(best), time_taken(best / 3));
  EXPECT_LT(time_taken(best), time_taken(best * 3));
}

TEST(BetweenInterruptionsTest, BeginsWithWhatTheSiteExpects) {
  EXPECT_EQ(BetweenInterruptions({}, 168h, 1), 168h);
  EXPECT_EQ(BetweenInterruptions({}, 168h, 8), 21h) << "any of its nodes interrupts a job";
  EXPECT_EQ(BetweenInterruptions({}, 168h, 0), 168h);
}

TEST(BetweenInterruptionsTest, EndsWithWhatWasSeen) {
  // One in each of ten thousand node hours.
  const Seconds seen = BetweenInterruptions({.count = 10'000, .node_time = 10'000h}, 168h, 1);
  EXPECT_NEAR(seen.count(), 3600, 100);
  // None in a year: longer than expected, and still not never.
  const Seconds quiet = BetweenInterruptions({.node_time = 8760h}, 168h, 1);
  EXPECT_EQ(quiet, 8928h);
}

TEST(TimeToSafeTest, IsUnknownWithoutACheckpoint) { EXPECT_FALSE(EstimateTimeToSafe({}).known); }

TEST(TimeToSafeTest, AfterOneCheckpointEverythingCountsAsNew) {
  const TimeToSafe estimate = EstimateTimeToSafe({Whole()});
  EXPECT_TRUE(estimate.known);
  EXPECT_FALSE(estimate.growth_known);
  EXPECT_NEAR(estimate.After(0s).count(), 65, 1e-6);
  EXPECT_NEAR(estimate.After(kForever).count(), 65, 1e-6);
  EXPECT_EQ(estimate.LongestWithin(70s), kForever);
  EXPECT_EQ(estimate.LongestWithin(60s), 0s);
}

TEST(TimeToSafeTest, SeparatesWhatIsFixedFromWhatGrows) {
  const TimeToSafe estimate = EstimateTimeToSafe({Whole(), After(600), After(1200)});
  EXPECT_NEAR(estimate.fixed.count(), 1, 1e-3);
  EXPECT_NEAR(estimate.seconds_per_byte, 1e-9, 1e-12);
  EXPECT_NEAR(estimate.bytes_per_second, 10e6, 1);
  EXPECT_NEAR(estimate.After(1000s).count(), 11, 0.01);
  EXPECT_NEAR(estimate.After(kForever).count(), 65, 0.1) << "no more than it has";
  EXPECT_NEAR(estimate.LongestWithin(21s).count(), 2000, 1);
  EXPECT_EQ(estimate.LongestWithin(0.5s), 0s);
  EXPECT_EQ(estimate.LongestWithin(100s), kForever);
}

TEST(TimeToSafeTest, TakesWhatIsDegenerate) {
  // Nothing stored, no time taken, nothing known of the time it ran.
  const TimeToSafe nothing = EstimateTimeToSafe({Cost{}, Cost{}});
  EXPECT_EQ(nothing.After(1h), 0s);
  EXPECT_EQ(nothing.LongestWithin(0s), kForever);
  // A job that changes nothing.
  const Cost idle{.ran = 60s, .to_safe = 2s, .raw_bytes = kGB};
  const TimeToSafe still = EstimateTimeToSafe({Whole(), idle, idle});
  EXPECT_TRUE(std::isfinite(still.After(kForever).count()));
  EXPECT_EQ(still.LongestWithin(10s), kForever);
  // The more there was to store, the faster it went: noise, which must not become a negative time.
  Cost small = After(100), large = After(1000);
  std::swap(small.to_safe, large.to_safe);
  const TimeToSafe odd = EstimateTimeToSafe({small, large});
  EXPECT_GE(odd.seconds_per_byte, 0);
  EXPECT_GE(odd.fixed, 0s);
  // All of one size: nothing tells the fixed part, so that all of it is laid to the bytes.
  const TimeToSafe alike = EstimateTimeToSafe({After(100), After(100)});
  EXPECT_EQ(alike.fixed, 0s);
  EXPECT_NEAR(alike.After(100s).count(), 2, 1e-6);
  // A line that would begin below zero.
  Cost quick = After(10), slow = After(1000);
  quick.to_safe = 0.001s;
  EXPECT_GE(EstimateTimeToSafe({quick, slow}).fixed, 0s);
}

TEST_F(PlanningTest, WithoutAutoTheJobsIntervalStands) {
  costs = {Whole(), After(600)};
  Plan plan = Make(/*automatic=*/false);
  EXPECT_EQ(plan.interval, 0s);
  EXPECT_EQ(plan.basis, Basis::kNone);
  interval = 10s;
  plan = Make(/*automatic=*/false);
  EXPECT_EQ(plan.interval, 10s);
  EXPECT_EQ(plan.basis, Basis::kFixed);
  EXPECT_TRUE(plan.to_safe.known);
}

TEST_F(PlanningTest, TheFirstCheckpointComesSoon) {
  const Plan plan = Make();
  EXPECT_EQ(plan.interval, limits.shortest);
  EXPECT_EQ(plan.basis, Basis::kFirst);
  EXPECT_THAT(plan.Why(), HasSubstr("nothing is known yet"));
}

TEST_F(PlanningTest, ThenYoungDaly) {
  costs = {Whole(), After(600)};  // costs 7 s
  const Plan plan = Make();
  EXPECT_EQ(plan.basis, Basis::kYoungDaly);
  EXPECT_EQ(plan.cost, 7s) << "the first, whole one is not what the next will cost";
  EXPECT_EQ(plan.interval, YoungDaly(7s, 168h));
  EXPECT_THAT(plan.Why(), HasSubstr("a checkpoint costs 7.00 s"));
  EXPECT_THAT(plan.Why(), HasSubstr("every 168 h 0 min (Young/Daly)"));
}

TEST_F(PlanningTest, MoreNodesAndMoreInterruptionsMakeItShorter) {
  costs = {Whole(), After(600)};
  const Seconds calm = Make().interval;
  nodes = 16;
  EXPECT_NEAR(Make().interval / calm, 0.25, 0.01);
  nodes = 1;
  interruptions = {.count = 15, .node_time = 0s};
  EXPECT_NEAR(Make().interval / calm, 0.25, 0.01);
}

TEST_F(PlanningTest, StaysWithinTheSitesBounds) {
  costs = {Cost{.to_safe = 0s, .stopped = 0s, .first = true}};
  EXPECT_EQ(Make().interval, limits.shortest) << "checkpoints that cost nothing";
  EXPECT_EQ(Make().basis, Basis::kShortest);
  costs = {Whole()};
  limits.node_lifetime = 1'000'000h;
  EXPECT_EQ(Make().interval, limits.longest);
  EXPECT_EQ(Make().basis, Basis::kLongest);
  limits.shortest = 3h;  // above the longest
  EXPECT_EQ(Make().interval, 3h);
}

TEST_F(PlanningTest, TheNoticeSufficesForWhatChangesMeanwhile) {
  notice = 30s;
  costs = {Whole(), After(600), After(900)};
  limits.node_lifetime = 100'000h;  // Young/Daly: beyond the longest
  const Plan plan = Make();
  EXPECT_EQ(plan.basis, Basis::kNotice);
  // Three quarters of 30 s, less the fixed second, at 10 MB/s and 1 GB/s.
  EXPECT_NEAR(plan.interval.count(), 2150, 2);
  EXPECT_TRUE(plan.notice_suffices());
  EXPECT_THAT(plan.Why(), HasSubstr("within a notice of 30 s"));
  notice = 120s;
  EXPECT_EQ(Make().basis, Basis::kLongest) << "even all of it can be stored in that time";
}

TEST_F(PlanningTest, ANoticeThatCannotSufficeDoesNotCount) {
  notice = 1s;  // not even the fixed part
  costs = {Whole(), After(600)};
  const Plan plan = Make();
  EXPECT_EQ(plan.basis, Basis::kYoungDaly);
  EXPECT_FALSE(plan.notice_suffices());
  EXPECT_THAT(plan.Why(), HasSubstr("a notice of 1.00 s may not suffice"));
  notice = 2s;  // it would, if the job were saved more often than the site allows
  EXPECT_EQ(Make().basis, Basis::kYoungDaly);
}

TEST_F(PlanningTest, AfterAWholeCheckpointThatWasTooLongAnotherTells) {
  notice = 30s;
  costs = {Whole()};
  Plan plan = Make();
  EXPECT_EQ(plan.basis, Basis::kLearning);
  EXPECT_EQ(plan.interval, limits.shortest);
  costs.push_back(After(120));
  plan = Make();
  EXPECT_NE(plan.basis, Basis::kLearning);
  notice = 0s;
  costs = {Whole()};
  EXPECT_EQ(Make().basis, Basis::kLongest) << "nobody gives notice";
}

TEST_F(PlanningTest, EveryPlanCanBeExplained) {
  for (const Basis basis : {Basis::kNone, Basis::kFixed, Basis::kFirst, Basis::kLearning,
                            Basis::kYoungDaly, Basis::kNotice, Basis::kShortest, Basis::kLongest}) {
    Plan plan{.basis = basis, .between_interruptions = kForever};
    EXPECT_THAT(plan.Why(), Not(::testing::IsEmpty()));
    EXPECT_STRNE(BasisName(basis), "unknown");
  }
}

}  // namespace
}  // namespace holdfast::coordinator
