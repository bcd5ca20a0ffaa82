#include "pod/steps/mpi/exchange.h"

#include <gmock/gmock.h>

namespace holdfast::pod {
namespace {

using Tasks = std::vector<std::vector<uint32_t>>;

TEST(Exchange, MapsTasksToNodesAndBack) {
  const std::pair<Tasks, std::string> kCases[] = {
      {{{0, 1}, {2, 3}}, "(vector,(0,2,2))"},
      {{{0, 2}, {1, 3}}, "(vector,(0,2,1),(0,2,1))"},
      {{{0, 1, 2}, {3}}, "(vector,(0,1,3),(1,1,1))"},
      {{{1, 2}, {0}}, "(vector,(1,1,1),(0,1,2))"},
      {{{0}}, "(vector,(0,1,1))"},
  };
  for (const auto& [tasks, mapping] : kCases) {
    size_t count = 0;
    for (const auto& of_node : tasks) count += of_node.size();
    EXPECT_EQ(MapTasks(tasks), mapping);
    EXPECT_EQ(*TasksOfNodes(mapping, tasks.size(), static_cast<uint32_t>(count)), tasks);
  }
}

TEST(Exchange, RefusesMappingsThatDoNotFit) {
  for (const char* mapping :
       {"", "(vector", "(vector)", "(vector,(0,2,2)", "(vector,(0,2,2))x", "(vector,(1,2,2))",
        "(vector,(0,2,3))", "(vector,(0,2,1))", "(vector,(0,4294967295,4294967295))",
        "(vector,(0,-1,2))", "(vector,(0,2))"})
    EXPECT_FALSE(TasksOfNodes(mapping, 2, 4)) << mapping;
}

TEST(Exchange, ComesBackAsItWas) {
  const std::string contribution =
      Serialize(Contribution{.name = "a", .nodes = {0, 3}, .data = std::string("x\0y", 3)});
  EXPECT_EQ(Serialize(*ParseContribution(contribution)), contribution);
  const std::string gathered = Serialize(Gathered{.name = "a", .data = "b"});
  EXPECT_EQ(Serialize(*ParseGathered(gathered)), gathered);
  const std::string letter = Serialize(Letter{.node = 5, .data = "b"});
  EXPECT_EQ(Serialize(*ParseLetter(letter)), letter);
  for (const AbortWish& wish :
       {AbortWish{.code = 7, .ending_task = 0}, AbortWish{.code = 0, .ending_task = {}}})
    EXPECT_EQ(Serialize(*ParseAbortWish(Serialize(wish))), Serialize(wish));
  EXPECT_FALSE(ParseAbortWish("x"));
  for (size_t size = 0; size < contribution.size(); ++size)
    EXPECT_FALSE(ParseContribution(contribution.substr(0, size)));
  EXPECT_FALSE(
      ParseContribution(Serialize(Contribution{.name = "a", .nodes = {3, 0}, .data = ""})));
  EXPECT_FALSE(ParseGathered("x"));
  EXPECT_FALSE(ParseLetter("x"));
}

}  // namespace
}  // namespace holdfast::pod
