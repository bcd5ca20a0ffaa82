#include "pod/steps/resolve.h"

#include <algorithm>

#include "base/numbers.h"
#include "pod/steps/hostlist.h"
#include "pod/steps/values.h"

namespace holdfast::pod {
namespace {

// As Slurm shows masks that a user wrote: without 0x.
std::string PlainMasks(const std::vector<std::string>& items) {
  std::string list;
  for (const std::string& item : items)
    list += (list.empty() ? "" : ",") +
            FormatMask(ParseMask(item).value_or(std::vector<uint32_t>())).substr(2);
  return list;
}

size_t CountDifferent(std::vector<std::string> hosts) {
  std::ranges::sort(hosts);
  return hosts.size() - std::ranges::unique(hosts).size();
}

std::string Number(uint32_t number) { return std::to_string(number); }

}  // namespace

bool IsExact(const Options& options) { return options.exact || options.cpus_per_task; }

std::expected<StepRequest, Complaint> Resolve(const Options& options, const JobView& job,
                                              std::vector<std::string>& remarks) {
  auto hosts = ExpandHosts(options.hosts);
  const auto excluded = ExpandHosts(options.excluded);
  if (!hosts || !excluded) return Complain("fatal: Invalid node list specified");
  if (options.relative && (!hosts->empty() || !excluded->empty()))
    return Complain("error: -r,--relative not allowed with -w,--nodelist or -x,--exclude.");
  std::optional<uint32_t> tasks = options.tasks.value, per_node = options.tasks_per_node.value;
  std::optional<uint32_t> least = options.min_nodes.value, most = options.max_nodes.value;
  bool nodes_by_variable = options.min_nodes.by_variable;
  const bool arbitrary = options.distribution == Distribution::kArbitrary && !hosts->empty();
  if (arbitrary) {
    // The list says how many, unless the command line does.
    if (options.hosts_by_file && tasks) {
      if (hosts->size() < *tasks)
        return std::unexpected(
            Complaint{.exit_code = 1,
                      .lines = {"error: Too few NodeNames in Slurm Hostfile",
                                "error: Failure getting NodeNames from hostfile"}});
      hosts->resize(*tasks);
    }
    if (!tasks || (options.tasks.by_variable && !options.hosts_by_file))
      tasks = static_cast<uint32_t>(hosts->size());
    if (nodes_by_variable || !least) least = most = static_cast<uint32_t>(CountDifferent(*hosts));
  }
  if (!hosts->empty() && !least) least = static_cast<uint32_t>(CountDifferent(*hosts));

  if (least && !tasks && !per_node && (!most || *least == *most)) {
    tasks = *least;
  } else if (least && tasks) {
    if (most) most = std::min(*most, *tasks);
    if (*tasks < *least) {
      remarks.push_back("warning: can't run " + Number(*tasks) + " processes on " + Number(*least) +
                        " nodes, setting nnodes to " + Number(*tasks));
      least = *tasks;
      nodes_by_variable = false;
    }
    const bool exactly = most && *least == *most;
    if (per_node && exactly && options.tasks.by_variable && !nodes_by_variable && !arbitrary) {
      tasks.reset();
    } else if (per_node && most && *tasks > *most * *per_node) {
      remarks.push_back("warning: can't honor --ntasks-per-node set to " + Number(*per_node) +
                        " which doesn't match the requested tasks " + Number(*tasks) +
                        " with the maximum number of requested nodes " + Number(*most) +
                        ". Ignoring --ntasks-per-node.");
      per_node.reset();
    }
  }
  if (per_node && !tasks) tasks = least.value_or(1) * *per_node;

  StepRequest request;
  request.tasks = tasks.value_or(1);
  request.min_nodes = std::min(least.value_or(1), job.nodes);
  request.max_nodes = std::min(most.value_or(job.nodes), job.nodes);
  if (least && *least > job.nodes)
    return Complain("error: Only allocated " + Number(job.nodes) + " nodes asked for " +
                    Number(*least));
  if (options.relative && *options.relative + request.min_nodes > job.nodes)
    return Complain(
        "error: --relative and --nodes option incompatible with count of allocated "
        "nodes (" +
        Number(*options.relative) + "+" + Number(request.min_nodes) + ">" + Number(job.nodes) +
        ")");
  request.max_nodes = std::max(request.max_nodes, request.min_nodes);
  request.cpus_per_task = options.cpus_per_task.value.value_or(0);
  request.tasks_per_node = per_node.value_or(0);
  request.distribution = options.distribution;
  request.plane_size = options.plane_size;
  request.exact = IsExact(options);
  request.overlap = options.overlap;
  request.overcommit = options.overcommit;
  request.node_memory_mb = options.node_memory_mb.value.value_or(0);
  request.cpu_memory_mb = options.cpu_memory_mb.value.value_or(0);
  request.hosts = *hosts;
  // More names than nodes: any of them will do for the first ones.
  if (!arbitrary && CountDifferent(*hosts) > request.max_nodes)
    request.hosts.resize(request.max_nodes);
  request.excluded = *excluded;
  request.relative = options.relative;
  request.name = options.program_name;
  return request;
}

Binding Bind(const Options& options, const NodeShare& share) {
  Binding binding{.cpus = std::vector<std::vector<uint32_t>>(share.tasks.size()),
                  .verbose = options.bind_verbose};
  const size_t tasks = share.tasks.size();
  const size_t each = options.cpus_per_task.value.value_or(1);
  const bool fits = tasks * each <= share.cpus.size();
  switch (options.bind) {
    case BindUnit::kNone:
      binding.type = "none";
      return binding;
    case BindUnit::kMap:
    case BindUnit::kMask: {
      const bool map = options.bind == BindUnit::kMap;
      binding.type = map ? "map_cpu:" : "mask_cpu:";
      binding.machine_numbers = true;
      const std::vector<std::string> items = SplitAt(options.bind_list, ',');
      binding.list = map ? options.bind_list : PlainMasks(items);
      for (size_t i = 0; i < tasks; ++i) {
        const std::string& item = items[i % items.size()];
        if (!map)
          binding.cpus[i] = ParseMask(item).value_or(std::vector<uint32_t>());
        else if (const auto cpu = ParseNumber<uint32_t>(item))
          binding.cpus[i] = {*cpu};
      }
      return binding;
    }
    case BindUnit::kSockets:
      for (auto& cpus : binding.cpus) cpus = share.cpus;
      return binding;
    case BindUnit::kAuto:
    case BindUnit::kThreads:
    case BindUnit::kCores:
      break;
  }
  // Left to itself Slurm divides the step's CPUs only if there are as many as the tasks need.
  const bool divides = options.bind != BindUnit::kAuto || options.threads_per_core > 0 ||
                       tasks * each == share.cpus.size();
  binding.one_mask = !fits || !divides;
  for (size_t i = 0; i < tasks; ++i) {
    if (binding.one_mask) {
      binding.cpus[i] = share.cpus;
      continue;
    }
    const auto begin = share.cpus.begin() + static_cast<std::ptrdiff_t>(i * each);
    binding.cpus[i].assign(begin, begin + static_cast<std::ptrdiff_t>(each));
  }
  return binding;
}

}  // namespace holdfast::pod
