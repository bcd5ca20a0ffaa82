#include "pod/steps/messages.h"

#include <signal.h>

#include "pod/fields.h"

namespace holdfast::pod {
namespace {

// Of a Launch that is the same for every task: it may not be empty.
const std::vector<std::string> kNoProgram = {"task"};

std::unexpected<Error> Malformed(const char* what) {
  return Fail(Code::kCorrupt, std::string(what) + " of a step is malformed");
}

}  // namespace

std::string Serialize(const StepRequest& request) {
  FieldWriter writer;
  for (const uint32_t number :
       {request.tasks, request.min_nodes, request.max_nodes, request.cpus_per_task,
        request.tasks_per_node, request.plane_size, static_cast<uint32_t>(request.distribution)})
    writer.Add(uint64_t{number});
  for (const bool flag : {request.exact, request.overlap, request.overcommit})
    writer.Add(uint64_t{flag});
  writer.Add(request.node_memory_mb);
  writer.Add(request.cpu_memory_mb);
  writer.Add(request.hosts);
  writer.Add(request.excluded);
  writer.Add(uint64_t{request.relative ? 1 + uint64_t{*request.relative} : 0});
  writer.Add(std::string_view(request.name));
  return writer.Take();
}

Result<StepRequest> ParseStepRequest(std::string_view bytes) {
  FieldReader reader(bytes);
  const auto number = [&](uint64_t max) { return static_cast<uint32_t>(reader.Number(max)); };
  StepRequest request;
  request.tasks = number(kMaxTasks);
  request.min_nodes = number(kMaxTasks);
  request.max_nodes = number(kMaxTasks);
  request.cpus_per_task = number(kMaxTasks);
  request.tasks_per_node = number(kMaxTasks);
  request.plane_size = number(kMaxTasks);
  request.distribution =
      static_cast<Distribution>(number(static_cast<uint64_t>(Distribution::kArbitrary)));
  request.exact = reader.Flag();
  request.overlap = reader.Flag();
  request.overcommit = reader.Flag();
  request.node_memory_mb = reader.Number();
  request.cpu_memory_mb = reader.Number();
  request.hosts = reader.Texts();
  request.excluded = reader.Texts();
  const uint32_t relative = number(kMaxTasks);
  if (relative > 0) request.relative = relative - 1;
  request.name = reader.Text();
  if (!reader.complete() || request.tasks == 0 || request.min_nodes == 0)
    return Malformed("the request");
  return request;
}

std::string Serialize(const StepGrant& grant) {
  FieldWriter writer;
  writer.Add(uint64_t{grant.step});
  writer.Add(uint64_t{grant.nodes.size()});
  for (const NodeShare& node : grant.nodes) {
    writer.Add(uint64_t{node.pod});
    writer.Add(std::string_view(node.host));
    writer.Add(node.tasks);
    writer.Add(node.cpus);
  }
  return writer.Take();
}

Result<StepGrant> ParseStepGrant(std::string_view bytes) {
  FieldReader reader(bytes);
  StepGrant grant{.step = static_cast<uint32_t>(reader.Number(UINT32_MAX)), .nodes = {}};
  for (uint64_t left = reader.Number(kMaxTasks); left > 0 && !reader.failed(); --left) {
    NodeShare node;
    node.pod = static_cast<uint32_t>(reader.Number(kMaxTasks));
    node.host = reader.Text();
    node.tasks = reader.Numbers(kMaxTasks);
    node.cpus = reader.Numbers(kMaxTasks);
    grant.nodes.push_back(std::move(node));
  }
  if (!reader.complete()) return Malformed("the grant");
  return grant;
}

std::string Serialize(const DaemonOrder& order) {
  FieldWriter writer;
  for (const uint32_t number : {order.job, order.step, order.node_index, order.cpus_on_node})
    writer.Add(uint64_t{number});
  writer.Add(std::string_view(order.host));
  writer.Add(order.tasks);
  writer.Add(uint64_t{order.programs.size()});
  for (const auto& argv : order.programs) writer.Add(argv);
  writer.Add(order.program_of);
  Launch common = order.common;
  common.argv = kNoProgram;
  writer.Add(std::string_view(Serialize(common)));
  writer.Add(uint64_t{order.binding.cpus.size()});
  for (const auto& cpus : order.binding.cpus) writer.Add(cpus);
  writer.Add(uint64_t{order.binding.machine_numbers});
  writer.Add(std::string_view(order.binding.type));
  writer.Add(std::string_view(order.binding.list));
  writer.Add(uint64_t{order.binding.one_mask});
  writer.Add(uint64_t{order.binding.verbose});
  writer.Add(order.input);
  writer.Add(order.output);
  writer.Add(order.error);
  writer.Add(std::string_view(order.copy_from));
  writer.Add(std::string_view(order.copy_to));
  writer.Add(uint64_t{order.append});
  writer.Add(uint64_t{order.line_buffered});
  Add(writer, order.mpi);
  writer.Add(uint64_t{order.task_environment.size()});
  for (const auto& environment : order.task_environment) writer.Add(environment);
  return writer.Take();
}

Result<DaemonOrder> ParseDaemonOrder(std::string_view bytes) {
  FieldReader reader(bytes);
  DaemonOrder order;
  order.job = static_cast<uint32_t>(reader.Number(UINT32_MAX));
  order.step = static_cast<uint32_t>(reader.Number(UINT32_MAX));
  order.node_index = static_cast<uint32_t>(reader.Number(kMaxTasks));
  order.cpus_on_node = static_cast<uint32_t>(reader.Number(kMaxTasks));
  order.host = reader.Text();
  order.tasks = reader.Numbers(kMaxTasks);
  for (uint64_t left = reader.Number(kMaxTasks); left > 0 && !reader.failed(); --left)
    order.programs.push_back(reader.Texts());
  order.program_of = reader.Numbers(kMaxTasks);
  const std::string common = reader.Text();
  for (uint64_t left = reader.Number(kMaxTasks); left > 0 && !reader.failed(); --left)
    order.binding.cpus.push_back(reader.Numbers());
  order.binding.machine_numbers = reader.Flag();
  order.binding.type = reader.Text();
  order.binding.list = reader.Text();
  order.binding.one_mask = reader.Flag();
  order.binding.verbose = reader.Flag();
  order.input = reader.Texts();
  order.output = reader.Texts();
  order.error = reader.Texts();
  order.copy_from = reader.Text();
  order.copy_to = reader.Text();
  order.append = reader.Flag();
  order.line_buffered = reader.Flag();
  order.mpi = ReadMpiOrder(reader);
  for (uint64_t left = reader.Number(kMaxTasks); left > 0 && !reader.failed(); --left)
    order.task_environment.push_back(reader.Texts());
  const size_t tasks = order.tasks.size();
  bool sound = reader.complete() && tasks > 0 && order.program_of.size() == tasks &&
               order.binding.cpus.size() == tasks && order.input.size() == tasks &&
               order.output.size() == tasks && order.error.size() == tasks &&
               (order.task_environment.empty() || order.task_environment.size() == tasks);
  for (const uint32_t program : order.program_of) sound = sound && program < order.programs.size();
  for (const auto& argv : order.programs) sound = sound && !argv.empty();
  if (!sound) return Malformed("the order");
  HOLDFAST_TRY(order.common, ParseLaunch(common));
  if (order.common.argv != kNoProgram) return Malformed("the order");
  return order;
}

std::string Serialize(const std::vector<TaskExit>& exits) {
  FieldWriter writer;
  for (const TaskExit& exit : exits) {
    writer.Add(uint64_t{exit.task});
    writer.Add(static_cast<uint64_t>(exit.status.code));
    writer.Add(static_cast<uint64_t>(exit.status.signal));
  }
  return writer.Take();
}

Result<std::vector<TaskExit>> ParseTaskExits(std::string_view bytes) {
  FieldReader reader(bytes);
  std::vector<TaskExit> exits;
  while (!reader.failed() && !reader.at_end()) {
    TaskExit exit;
    exit.task = static_cast<uint32_t>(reader.Number(kMaxTasks));
    exit.status.code = static_cast<int>(reader.Number(255));
    exit.status.signal = static_cast<int>(reader.Number(NSIG - 1));
    exits.push_back(exit);
  }
  if (!reader.complete()) return Malformed("a task's end");
  return exits;
}

std::string Serialize(uint32_t task, std::string_view data) {
  FieldWriter writer;
  writer.Add(uint64_t{task});
  return writer.Take().append(data);
}

Result<std::pair<uint32_t, std::string>> ParseTaskData(std::string_view bytes) {
  FieldReader reader(bytes);
  const auto task = static_cast<uint32_t>(reader.Number(UINT32_MAX));
  if (reader.failed()) return Malformed("data");
  return std::pair(task, std::string(bytes.substr(sizeof(uint64_t))));
}

}  // namespace holdfast::pod
