#include "pod/steps/mpi/gathering.h"

#include <gmock/gmock.h>

namespace holdfast::pod {
namespace {

using testing::ElementsAre;

TEST(Gathering, IsCompleteWhenAllNodesHaveCome) {
  Gathering gathering(3);
  EXPECT_FALSE(gathering.Add(2, {.name = "f", .nodes = {}, .data = "c"}));
  EXPECT_FALSE(gathering.Add(2, {.name = "f", .nodes = {}, .data = "again"}));
  EXPECT_FALSE(gathering.Add(0, {.name = "f", .nodes = {}, .data = "a"}));
  const auto complete = gathering.Add(1, {.name = "f", .nodes = {}, .data = "b"});
  ASSERT_TRUE(complete);
  EXPECT_EQ(complete->gathered.name, "f");
  EXPECT_EQ(complete->gathered.data, "abc");
  EXPECT_THAT(complete->nodes, ElementsAre(0, 1, 2));
}

TEST(Gathering, OfSomeNodesOnlyAndOthersMeanwhile) {
  Gathering gathering(4);
  EXPECT_FALSE(gathering.Add(1, {.name = "f", .nodes = {1, 3}, .data = "x"}));
  EXPECT_FALSE(gathering.Add(1, {.name = "g", .nodes = {}, .data = "-"}));
  // None of those who take part.
  EXPECT_FALSE(gathering.Add(2, {.name = "f", .nodes = {1, 3}, .data = "z"}));
  const auto complete = gathering.Add(3, {.name = "f", .nodes = {1, 3}, .data = "y"});
  ASSERT_TRUE(complete);
  EXPECT_EQ(complete->gathered.data, "xy");
  EXPECT_THAT(complete->nodes, ElementsAre(1, 3));
}

}  // namespace
}  // namespace holdfast::pod
