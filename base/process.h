// Child processes as resources, and the one place where this tree forks and executes.
//
// Between fork and exec the child runs only async-signal-safe calls on data prepared before; any
// that fails is reported to the parent as the error of Spawn. Thread-safe: Spawn may be called from
// any thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/identity.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast {

// How a process ended, as wait(2) tells it.
struct ExitStatus {
  int code = 0;    // of exit, if signal is 0
  int signal = 0;  // that killed it, or 0
  bool ok() const { return code == 0 && signal == 0; }
  std::string ToString() const;  // "exit code 3", "killed by signal 9 (Killed)"
  static ExitStatus FromWait(int wait_status);
};

struct SpawnOptions {
  std::vector<std::string> argv;  // argv[0] is executed; searched in PATH if it has no slash
  std::optional<std::vector<std::string>> env;  // NAME=value; the parent's if absent
  std::string cwd;  // entered after namespaces and identity are set, if not empty
  // (fd in the parent, number in the child). 0, 1 and 2 not named here are the parent's; every
  // other descriptor is closed.
  std::vector<std::pair<int, int>> fds;
  // Files of /proc/PID/ns to enter, in this order. A pid namespace applies to the new process
  // itself.
  std::vector<int> namespaces;
  // CLONE_NEW* that the child gets anew, after entering those; with CLONE_NEWPID it is PID 1.
  int unshare_flags = 0;
  std::optional<int> cgroup_procs;  // fd of a cgroup.procs file that the child writes itself to
  // Real, effective and saved ids, groups; capabilities go when uid is not 0, but for these.
  std::optional<Identity> identity;
  // CAP_* of linux/capability.h that the program has all the same (ambient, capabilities(7)). Those
  // that the caller has not itself are left out.
  std::vector<int> capabilities;
  // Whom the kernel kills first for want of memory (proc_pid_oom_score_adj(5)); the parent's if
  // absent.
  std::optional<int> oom_score_adj;
  bool new_session = false;      // setsid
  bool kill_with_parent = true;  // SIGKILL when the spawning thread ends
};

// A child that is killed and reaped when this is destroyed, unless waited for or released before.
class Process {
 public:
  static Result<Process> Spawn(const SpawnOptions& options);

  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();

  pid_t pid() const { return pid_; }
  // A descriptor that polls readable when the process has ended.
  const UniqueFd& pidfd() const { return pidfd_; }
  // Sends a signal; success if it has ended already.
  Status Kill(int signal) const;
  // Blocks until it ends, or fails with kTimeout.
  Result<ExitStatus> Wait(std::optional<std::chrono::milliseconds> timeout = std::nullopt);
  // Lets it live on without an owner; init or a subreaper collects it.
  pid_t Release();

 private:
  Process(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  void Discard();
  pid_t pid_ = -1;
  UniqueFd pidfd_;
};

// Runs to the end and returns what it wrote to stdout and stderr together (at most 1 MiB is kept).
struct CommandOutput {
  ExitStatus status;
  std::string output;
};
Result<CommandOutput> RunCommand(SpawnOptions options, std::chrono::milliseconds timeout);

}  // namespace holdfast
