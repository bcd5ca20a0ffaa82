#include "pod/steps/environment.h"

#include <algorithm>
#include <cctype>
#include <cstdio>

#include "pod/pod_directory.h"
#include "pod/steps/hostlist.h"
#include "pod/steps/task.h"

namespace holdfast::pod {
namespace {

bool IsNamed(std::string_view entry, std::string_view name) {
  return entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=';
}

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

const char* NameOf(Distribution distribution) {
  switch (distribution) {
    case Distribution::kCyclic:
      return "cyclic";
    case Distribution::kPlane:
      return "plane";
    case Distribution::kArbitrary:
      return "arbitrary";
    default:
      return "block";
  }
}

std::string Octal(mode_t mode) {
  char text[16];
  std::snprintf(text, sizeof text, "%04o", static_cast<unsigned>(mode));
  return text;
}

}  // namespace

std::optional<std::string_view> Variable(const std::vector<std::string>& environment,
                                         std::string_view name) {
  for (const std::string_view entry : environment)
    if (IsNamed(entry, name)) return entry.substr(name.size() + 1);
  return std::nullopt;
}

void SetVariable(std::vector<std::string>& environment, std::string_view name,
                 std::string_view value) {
  std::string entry = std::string(name) + "=" + std::string(value);
  for (std::string& old : environment) {
    if (!IsNamed(old, name)) continue;
    old = std::move(entry);
    return;
  }
  environment.push_back(std::move(entry));
}

std::vector<std::string> Export(const std::vector<std::string>& environment,
                                std::string_view what) {
  std::vector<std::string> kept;
  for (const std::string& entry : environment)
    if (entry.starts_with("SLURM") || entry.starts_with("SPANK_")) kept.push_back(entry);
  while (!what.empty()) {
    // A value may be quoted, and then have commas in it.
    size_t end = 0;
    for (char quote = 0; end < what.size() && (quote != 0 || what[end] != ','); ++end)
      if (what[end] == '\'' || what[end] == '"')
        quote = quote == what[end] ? '\0' : (quote == 0 ? what[end] : quote);
    std::string item(what.substr(0, end));
    what.remove_prefix(std::min(end + 1, what.size()));
    if (EqualIgnoringCase(item, "ALL")) {
      kept = environment;
    } else if (const size_t equals = item.find('='); equals != std::string::npos) {
      std::string value = item.substr(equals + 1);
      if (value.size() >= 2 && (value[0] == '\'' || value[0] == '"') && value.back() == value[0])
        value = value.substr(1, value.size() - 2);
      SetVariable(kept, item.substr(0, equals), value);
    } else if (const auto value = Variable(environment, item)) {
      SetVariable(kept, item, *value);
    }
  }
  return kept;
}

void AddStepVariables(std::vector<std::string>& environment, const StepFacts& facts) {
  const auto set = [&](std::string_view name, const std::string& value) {
    SetVariable(environment, name, value);
  };
  std::vector<std::string> hosts;
  std::vector<uint32_t> counts;
  size_t tasks = 0;
  for (const NodeShare& node : facts.grant.nodes) {
    hosts.push_back(node.host);
    counts.push_back(static_cast<uint32_t>(node.tasks.size()));
    tasks += node.tasks.size();
  }
  const std::string step = std::to_string(facts.grant.step), per_node = CompressCounts(counts);
  const std::string nodes = std::to_string(hosts.size()), number = std::to_string(tasks);
  const std::string port = std::to_string(kRshPort);
  set("SLURM_NTASKS", number);
  set("SLURM_NPROCS", number);
  set("SLURM_NNODES", nodes);
  set("SLURM_TASKS_PER_NODE", per_node);
  set("SLURM_STEP_ID", step);
  set("SLURM_STEPID", step);
  set("SLURM_STEP_NODELIST", CompressHosts(hosts));
  set("SLURM_STEP_NUM_NODES", nodes);
  set("SLURM_STEP_NUM_TASKS", number);
  set("SLURM_STEP_TASKS_PER_NODE", per_node);
  set("SLURM_STEP_LAUNCHER_PORT", port);
  set("SLURM_SRUN_COMM_HOST", facts.srun_address);
  set("SLURM_SRUN_COMM_PORT", port);
  set("SLURM_LAUNCH_NODE_IPADDR", facts.srun_address);
  set("SLURM_UMASK", Octal(facts.umask));
  set("SLURM_DISTRIBUTION", NameOf(facts.distribution));
  if (facts.distribution == Distribution::kPlane)
    set("SLURM_DIST_PLANESIZE", std::to_string(facts.plane_size));
  if (facts.cpus_per_task > 0) {
    set("SLURM_CPUS_PER_TASK", std::to_string(facts.cpus_per_task));
    set("SLURM_TRES_PER_TASK", "cpu=" + std::to_string(facts.cpus_per_task));
  }
  if (facts.threads_per_core > 0)
    set("SLURM_THREADS_PER_CORE", std::to_string(facts.threads_per_core));
  if (!facts.name.empty()) set("SLURM_JOB_NAME", facts.name);
  if (facts.labels) set("SLURM_LABELIO", "1");
  if (facts.overcommit) set("SLURM_OVERCOMMIT", "1");
  if (!facts.mpi.empty()) set("SLURM_MPI_TYPE", facts.mpi);
  set("SLURMD_DEBUG", "2");
  if (facts.exports_all) set("SRUN_DEBUG", std::to_string(3 + facts.verbosity));
}

std::vector<std::string> TaskEnvironment(const DaemonOrder& order, size_t task_of_node,
                                         const std::string& masks) {
  std::vector<std::string> environment = order.common.environment;
  const auto set = [&](std::string_view name, const std::string& value) {
    SetVariable(environment, name, value);
  };
  const std::string verbose = order.binding.verbose ? "verbose" : "quiet";
  const std::string list = order.binding.type == "none" ? ""
                           : order.binding.list.empty() ? masks
                                                        : order.binding.list;
  std::string gtids;
  for (const uint32_t task : order.tasks)
    gtids += (gtids.empty() ? "" : ",") + std::to_string(task);
  set("SLURM_CPU_BIND", verbose + "," + order.binding.type + list);
  set("SLURM_CPU_BIND_LIST", list);
  set("SLURM_CPU_BIND_TYPE", order.binding.type);
  set("SLURM_CPU_BIND_VERBOSE", verbose);
  set("SLURM_CPUS_ON_NODE", std::to_string(order.cpus_on_node));
  set("SLURM_GTIDS", gtids);
  set("SLURM_LOCALID", std::to_string(task_of_node));
  set("SLURM_NODEID", std::to_string(order.node_index));
  set("SLURM_PROCID", std::to_string(order.tasks[task_of_node]));
  set("SLURM_TOPOLOGY_ADDR", order.host);
  set("SLURM_TOPOLOGY_ADDR_PATTERN", "node");
  set("SLURMD_NODENAME", order.host);
  if (order.mpi.pmi) {
    set("PMI_FD", std::to_string(kPmiFd));
    set("PMI_JOBID", std::to_string(order.job) + "." + std::to_string(order.step));
    set("PMI_RANK", std::to_string(order.tasks[task_of_node]));
    set("PMI_SIZE", std::to_string(order.mpi.tasks));
  }
  if (!order.task_environment.empty())
    for (const std::string& variable : order.task_environment[task_of_node])
      if (const size_t equals = variable.find('='); equals != std::string::npos)
        set(variable.substr(0, equals), variable.substr(equals + 1));
  set("TMPDIR", std::string(Variable(environment, "TMPDIR").value_or("/tmp")));
  return environment;
}

}  // namespace holdfast::pod
