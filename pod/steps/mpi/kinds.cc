#include "pod/steps/mpi/kinds.h"

#include "pod/steps/hostlist.h"

namespace holdfast::pod {

std::optional<MpiOrder> MpiOffered(std::string_view name) {
  if (name.empty()) return MpiOrder{.pmi = true, .pmix = true};
  // "openmpi" means none since Slurm 22.05.
  if (name == "none" || name == "openmpi") return MpiOrder{};
  if (name == "pmi2") return MpiOrder{.pmi = true};
  // "pmix_v5" too: there is one PMIx library to a site.
  if (name == "pmix" || name.starts_with("pmix_v"))
    return MpiOrder{.pmix = true, .pmix_needed = true};
  return std::nullopt;
}

Complaint UnknownMpi(const std::string& name) {
  const std::string plugin = "mpi/" + name;
  return {.exit_code = 1,
          .lines = {"error: Couldn't find the specified plugin name for " + plugin +
                        " looking at all files",
                    "error: cannot find mpi plugin for " + plugin,
                    "error: MPI: Cannot create context for " + plugin,
                    "error: MPI: Unable to load any plugin",
                    "error: Invalid MPI type '" + name + "', --mpi=list for acceptable types"}};
}

MpiOrder Placed(MpiOrder order, const StepGrant& grant) {
  std::vector<std::string> hosts;
  std::vector<std::vector<uint32_t>> tasks;
  for (const NodeShare& node : grant.nodes) {
    hosts.push_back(node.host);
    tasks.push_back(node.tasks);
    order.tasks += static_cast<uint32_t>(node.tasks.size());
  }
  order.hosts = CompressHosts(hosts);
  order.mapping = MapTasks(tasks);
  return order;
}

std::string MpiKinds() { return "MPI plugin types are...\n\tnone\n\tpmi2\n\tpmix\n"; }

}  // namespace holdfast::pod
