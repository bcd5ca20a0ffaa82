// What lies in a pod's private directory, /run/holdfast (warden::kPodDirectory), when pod-root
// starts. All of it belongs to the job's user and is saved with the pod.
//
// The warden puts there, before it starts pod-root: copies of the static programs pod-root,
// holdfast-rsh, of srun, and holdfast-pmix (all from HOLDFAST_LIBEXEC), the peers, and in pod 0 the
// launch. pod-root adds the batch script and the host list for MPI.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::pod {

inline constexpr const char* kPodRootPath = "/run/holdfast/pod-root";
inline constexpr const char* kRshPath = "/run/holdfast/holdfast-rsh";
// Ours. The file `srun` of HOLDFAST_LIBEXEC, which names it as its interpreter, is mounted over the
// site's own wherever that is (warden/isolation/pod_init.cc).
inline constexpr const char* kSrunPath = "/run/holdfast/holdfast-srun";
// Where the site's own can still be reached.
inline constexpr const char* kSiteSrunPath = "/run/holdfast-site/srun";
inline constexpr const char* kSiteSbcastPath = "/run/holdfast-site/sbcast";
// Dynamically linked, unlike the others: with the site's libpmix.
inline constexpr const char* kPmixPath = "/run/holdfast/holdfast-pmix";
inline constexpr const char* kPeersPath = "/run/holdfast/peers";
inline constexpr const char* kLaunchPath = "/run/holdfast/launch";  // pod 0 only
inline constexpr const char* kScriptPath = "/run/holdfast/slurm_script";
inline constexpr const char* kHostsPath = "/run/holdfast/hosts";  // for mpirun: "NAME slots=N"
inline constexpr const char* kMpichHostsPath = "/run/holdfast/hosts.mpich";  // for hydra: "NAME:N"

// TCP port on the job's own network where each pod-root serves holdfast-rsh (not privileged:
// pod-root is the user).
inline constexpr uint16_t kRshPort = 6830;

// One pod of the job, as every pod sees it for the job's whole life.
struct Peer {
  std::string address;   // IPv4 on the job's own network
  std::string hostname;  // what the pod calls itself
  bool operator==(const Peer&) const = default;
};

// The file kPeersPath: by pod, pod 0 first.
std::string SerializePeers(const std::vector<Peer>& peers);
Result<std::vector<Peer>> ParsePeers(std::string_view text);

// pod-root's command line: {kPodRootPath, "POD"}.
std::vector<std::string> PodRootArguments(uint32_t pod);

}  // namespace holdfast::pod
