// A pod: one node's part of a job, in namespaces of its own. The warden creates it, runs CRIU in it
// and ends it. Used by one thread at a time, the worker's or between operations the main one,
// except where noted.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/identity.h"
#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::warden {

// Inside a pod: a private tmpfs, saved with the job, with pod-root, holdfast-rsh, the script and
// the launch.
inline constexpr const char* kPodDirectory = "/run/holdfast";
// Where pod-root's tree starts, so that CRIU's own helpers never take a pid that an image needs.
inline constexpr pid_t kFirstPid = 1000;

// One that is the pod's own, on the node's disk (private_directories.h).
struct PrivateDirectory {
  std::string path;   // in the pod
  std::string place;  // on the node
};

struct PodOptions {
  uint32_t index = 0;
  std::string hostname;  // what it calls itself, for its whole life
  Identity owner;
  std::string hosts;     // contents of its /etc/hosts; empty: the node's
  std::string resolver;  // and of its /etc/resolv.conf
  // Beside those that it always has, in memory; /tmp may be among them.
  std::vector<PrivateDirectory> private_directories;
  int oom_score_adj = 0;  // that Slurm gives the job's processes
  std::string init_program = HOLDFAST_LIBEXEC "/holdfast-pod-init";
};

class Pod {
 public:
  // Namespaces, private /tmp, /dev/shm and kPodDirectory (empty), those of the options, /proc,
  // /sys; PID 1 runs; only `lo`.
  static Result<std::unique_ptr<Pod>> Create(const PodOptions& options);
  virtual ~Pod() = default;  // kills it

  virtual const PodOptions& options() const = 0;
  virtual pid_t init_pid() const = 0;  // of its PID 1, on the node
  // Namespaces of the pod as descriptors of /proc/PID/ns.
  virtual const UniqueFd& mount_namespace() const = 0;
  virtual const UniqueFd& network_namespace() const = 0;
  virtual const UniqueFd& pid_namespace() const = 0;
  virtual const UniqueFd& uts_namespace() const = 0;

  // Adds the pod's namespaces to the options (all but IPC) and its cgroups; thread-safe.
  virtual void Enter(SpawnOptions& options) const = 0;
  // The pod's root directory as seen from the node: /proc/PID/root. Reaching user-writable paths
  // through it follows the user's symbolic links in the *node's* view: use only with openat2
  // RESOLVE_IN_ROOT.
  virtual std::string root_path() const = 0;
  // The pod's /proc as seen from the node (pids in there are the pod's), to read maps and status.
  virtual std::string proc_path() const = 0;
  // The node's pid of a process that the pod knows as `pid`; thread-safe.
  virtual Result<pid_t> OuterPid(pid_t pid) const = 0;

  // PID 1 starts pod-root (kPodDirectory/pod-root ARGS) as the owner, in an IPC namespace of its
  // own; returns its pid in the pod.
  virtual Result<pid_t> StartRoot(const std::vector<std::string>& argv) = 0;
  // While CRIU restores an IPC namespace: it writes the namespace's limits, which only root may,
  // and CRIU is not. They are what they are in every new namespace, since nothing in a pod can
  // change them; so what it writes goes into files that vanish.
  virtual Status CoverSysctls() = 0;
  virtual Status UncoverSysctls() = 0;
  // Tells PID 1 which restored process is pod-root.
  virtual void AdoptRoot(pid_t pid) = 0;
  virtual pid_t root_pid() const = 0;
  // Polls readable when pod-root or the pod itself has ended; then TakeExit says how.
  virtual const UniqueFd& exit_fd() const = 0;
  virtual Result<ExitStatus> TakeExit() = 0;

  // PID 1 keeps a duplicate open until every process of the pod has been killed, also if it is the
  // warden that dies; thread-safe.
  virtual Status Hold(const UniqueFd& descriptor) const = 0;
  // Closes all such duplicates, soon; thread-safe.
  virtual void LetGo() const = 0;
  // Sends the kill that Kill waits for; thread-safe.
  virtual void Condemn() const = 0;
  // Kills every process of the pod, frozen or not, and waits until they are gone.
  virtual Status Kill() = 0;
};

}  // namespace holdfast::warden
