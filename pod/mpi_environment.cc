#include "pod/mpi_environment.h"

#include <algorithm>
#include <optional>

#include "base/numbers.h"

namespace holdfast::pod {
namespace {

constexpr unsigned kMaxNodes = 1'000'000;
constexpr std::string_view kInterface = "hf0";  // warden::kJobInterface

const std::string* Find(const std::vector<std::string>& environment, std::string_view name) {
  const auto found = std::ranges::find_if(environment, [&](const std::string& entry) {
    return entry.starts_with(name) && entry.size() > name.size() && entry[name.size()] == '=';
  });
  return found == environment.end() ? nullptr : &*found;
}

}  // namespace

Result<std::vector<unsigned>> ParseCounts(std::string_view text) {
  const auto fail = [all = std::string(text)] {
    return Fail(Code::kInvalid, "'" + all + "' is not a list of counts like 2(x3),1");
  };
  std::vector<unsigned> counts;
  while (true) {
    const size_t comma = text.find(',');
    std::string_view item = text.substr(0, comma);
    std::optional<unsigned> repeat = 1;
    if (const size_t open = item.find("(x"); open != std::string_view::npos) {
      if (!item.ends_with(')')) return fail();
      repeat = ParseNumber<unsigned>(item.substr(open + 2, item.size() - open - 3));
      item = item.substr(0, open);
    }
    const auto count = ParseNumber<unsigned>(item);
    if (!count || !repeat || *repeat > kMaxNodes - counts.size()) return fail();
    counts.insert(counts.end(), *repeat, *count);
    if (comma == std::string_view::npos) return counts;
    text.remove_prefix(comma + 1);
  }
}

Result<std::vector<unsigned>> SlotsOf(const std::vector<std::string>& environment, size_t pods) {
  for (const std::string_view name : {"SLURM_TASKS_PER_NODE", "SLURM_JOB_CPUS_PER_NODE"}) {
    const std::string* entry = Find(environment, name);
    if (!entry) continue;
    HOLDFAST_TRY(auto counts, ParseCounts(std::string_view(*entry).substr(name.size() + 1)));
    if (counts.size() == pods) return counts;
  }
  return std::vector<unsigned>(pods, 1);
}

std::string OpenMpiHosts(const std::vector<Peer>& peers, const std::vector<unsigned>& slots) {
  std::string text;
  for (size_t i = 0; i < peers.size(); ++i)
    text += peers[i].hostname + " slots=" + std::to_string(slots[i]) + "\n";
  return text;
}

std::string MpichHosts(const std::vector<Peer>& peers, const std::vector<unsigned>& slots) {
  std::string text;
  for (size_t i = 0; i < peers.size(); ++i)
    text += peers[i].hostname + ":" + std::to_string(slots[i]) + "\n";
  return text;
}

std::vector<std::string> AddEnvironment(std::vector<std::string> environment) {
  const std::string interface(kInterface), rsh(kRshPath);
  const std::pair<std::string, std::string> kAdded[] = {
      // Open MPI 5 and its PRRTE: daemons by our agent and not by srun, hosts from our list and not
      // from Slurm's variables (both components would choose themselves when they see
      // SLURM_JOBID).
      {"PRTE_MCA_plm", "ssh"},
      {"PRTE_MCA_plm_ssh_agent", rsh},
      {"PRTE_MCA_ras", "^slurm"},
      {"PRTE_MCA_prte_default_hostfile", kHostsPath},
      {"PRTE_MCA_prte_if_include", interface},
      // TCP and shared memory are what CRIU can save.
      {"OMPI_MCA_pml", "ob1"},
      {"OMPI_MCA_btl", "self,sm,tcp"},
      {"OMPI_MCA_btl_tcp_if_include", interface},
      // MPICH's hydra, and the UCX below it.
      {"HYDRA_LAUNCHER", "ssh"},
      {"HYDRA_LAUNCHER_EXEC", rsh},
      {"HYDRA_HOST_FILE", kMpichHostsPath},
      {"HYDRA_IFACE", interface},
      {"UCX_NET_DEVICES", interface},
      // Intel MPI's hydra, and the libfabric below it.
      {"I_MPI_HYDRA_BOOTSTRAP", "ssh"},
      {"I_MPI_HYDRA_BOOTSTRAP_EXEC", rsh},
      {"I_MPI_HYDRA_HOST_FILE", kMpichHostsPath},
      {"I_MPI_HYDRA_IFACE", interface},
      {"FI_PROVIDER", "tcp"},
      {"FI_TCP_IFACE", interface},
  };
  for (const auto& [name, value] : kAdded)
    if (!Find(environment, name)) environment.push_back(name + "=" + value);
  return environment;
}

}  // namespace holdfast::pod
