#include "pod/steps/messages.h"

#include <gmock/gmock.h>

namespace holdfast::pod {
namespace {

DaemonOrder Order() {
  DaemonOrder order{.job = 1, .step = 2, .host = "n1", .tasks = {4, 5}};
  order.programs = {{"/bin/true"}, {"/bin/false", "x"}};
  order.program_of = {0, 1};
  order.common.environment = {"A=1"};
  order.common.cwd = "/tmp";
  order.binding.cpus = {{0}, {1}};
  order.input = order.output = order.error = {"", "f"};
  return order;
}

TEST(Messages, ComeBackAsTheyWere) {
  StepRequest request{.tasks = 3, .min_nodes = 1, .max_nodes = 2};
  request.relative = 1;
  request.hosts = {"n1"};
  EXPECT_EQ(Serialize(*ParseStepRequest(Serialize(request))), Serialize(request));
  const StepGrant grant{.step = 9,
                        .nodes = {{.pod = 1, .host = "n2", .tasks = {0, 2}, .cpus = {1}}}};
  EXPECT_EQ(*ParseStepGrant(Serialize(grant)), grant);
  EXPECT_EQ(Serialize(*ParseDaemonOrder(Serialize(Order()))), Serialize(Order()));
  EXPECT_EQ(ParseTaskData(Serialize(7, "data"))->second, "data");
}

// A task of the job may send anything to the daemons.
TEST(Messages, RefuseEveryTruncationAndGarbage) {
  const std::string order = Serialize(Order());
  for (size_t size = 0; size < order.size(); ++size)
    EXPECT_FALSE(ParseDaemonOrder(order.substr(0, size))) << size;
  for (size_t at = 0; at < order.size(); ++at) {
    std::string wrong = order;
    wrong[at] = static_cast<char>(wrong[at] ^ 0x80);
    [[maybe_unused]] const auto parsed = ParseDaemonOrder(wrong);  // and does not crash
  }
  std::string with_program = order;
  with_program.replace(with_program.find("task"), 4, "rogu");
  EXPECT_FALSE(ParseDaemonOrder(with_program)) << "not what Serialize writes";
  EXPECT_FALSE(ParseDaemonOrder(std::string(1000, '\xff')));
  EXPECT_FALSE(ParseStepRequest(std::string(64, '\xff')));
  EXPECT_FALSE(ParseStepGrant("x"));
  EXPECT_FALSE(ParseTaskExits("x"));
}

}  // namespace
}  // namespace holdfast::pod
