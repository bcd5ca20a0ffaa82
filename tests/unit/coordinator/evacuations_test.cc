#include "coordinator/evacuations.h"

#include <gtest/gtest.h>

namespace holdfast::coordinator {
namespace {

constexpr int64_t kMinute = 60'000'000'000;

Evacuation Spot(const std::string& node) {
  return {
      .node = node, .cause = Reason::kSpot, .reason = "r", .deadline_unix_ms = 5, .begun_ns = 7};
}

TEST(Evacuations, WithoutAPatternOrANodeThereIsNothingToAsk) {
  Evacuations evacuations("");
  EXPECT_FALSE(evacuations.watching());
  EXPECT_TRUE(evacuations.Consider({{"n1", true, "anything"}}, 0).begun.empty());
  evacuations.Begin(Spot("n1"));
  EXPECT_TRUE(evacuations.watching());
  EXPECT_TRUE(Evacuations("x").watching());
}

TEST(Evacuations, WhatIsWishedForIsToLeaveThatNode) {
  const Wish wish = WishOf(Spot("n1"));
  EXPECT_EQ(wish.reason, Reason::kSpot);
  EXPECT_TRUE(wish.stop);
  EXPECT_FALSE(wish.hold);
  EXPECT_EQ(wish.excluded, std::vector<std::string>{"n1"});
  EXPECT_EQ(wish.deadline_unix_ms, 5);
  EXPECT_EQ(wish.begun_ns, 7);
}

TEST(Evacuations, NodesWhoseReasonMatchesAreBegunOnce) {
  Evacuations evacuations("^spot|maintenance");
  const auto found = evacuations.Consider({{"n1", true, "disk broken"},
                                           {"n2", true, "planned maintenance"},
                                           {"n3", false, "spot, but in use again"},
                                           {"n4", true, "spot interruption"}},
                                          9);
  ASSERT_EQ(found.begun.size(), 2U);
  EXPECT_EQ(found.begun[0].node, "n2");
  EXPECT_EQ(found.begun[0].cause, Reason::kEvacuate);
  EXPECT_EQ(found.begun[0].reason, "planned maintenance");
  EXPECT_EQ(found.begun[0].begun_ns, 9);
  EXPECT_EQ(found.begun[1].node, "n4");
  EXPECT_TRUE(evacuations.Consider({{"n2", true, "planned maintenance"}}, 10).begun.empty());
}

TEST(Evacuations, SlurmIsToldUntilItHasHeard) {
  Evacuations evacuations("");
  evacuations.Begin(Spot("n1"));
  auto found = evacuations.Consider({{"n1", false, ""}, {"n2", false, ""}}, 10);
  ASSERT_EQ(found.undrained.size(), 1U);
  EXPECT_EQ(found.undrained[0].node, "n1");
  EXPECT_TRUE(evacuations.Consider({{"n1", true, "r"}}, 11).undrained.empty());
  EXPECT_NE(evacuations.Find("n1"), nullptr);
  // Somebody takes it into use again.
  EXPECT_TRUE(evacuations.Consider({{"n1", false, ""}}, 12).undrained.empty());
  EXPECT_EQ(evacuations.Find("n1"), nullptr);
  EXPECT_FALSE(evacuations.watching());
}

TEST(Evacuations, ANodeThatCannotBeDrainedIsForgottenAfterAWhile) {
  Evacuations evacuations("");
  evacuations.Begin(Spot("n1"));
  EXPECT_EQ(evacuations.Consider({{"n1", false, ""}}, kMinute).undrained.size(), 1U);
  EXPECT_TRUE(evacuations.Consider({{"n1", false, ""}}, 10 * kMinute).undrained.empty());
  EXPECT_EQ(evacuations.Find("n1"), nullptr);
}

TEST(Evacuations, ASecondNoticeBringsItsDeadlineAndKeepsWhatSlurmHasSaid) {
  Evacuations evacuations("");
  evacuations.Begin({.node = "n1", .cause = Reason::kEvacuate});
  evacuations.Consider({{"n1", true, ""}}, 0);
  evacuations.Begin(Spot("n1"));
  ASSERT_NE(evacuations.Find("n1"), nullptr);
  EXPECT_EQ(evacuations.Find("n1")->cause, Reason::kSpot);
  EXPECT_EQ(evacuations.Find("n1")->deadline_unix_ms, 5);
  EXPECT_TRUE(evacuations.Find("n1")->drained);
}

}  // namespace
}  // namespace holdfast::coordinator
