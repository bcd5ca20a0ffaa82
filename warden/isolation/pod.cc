#include "warden/isolation/pod.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.h"
#include "warden/isolation/pod_control.h"
#include "warden/isolation/pod_processes.h"

namespace holdfast::warden {
namespace {

using std::chrono::seconds;

// Mounts and a network namespace are made within milliseconds; this is for a node that thrashes.
constexpr seconds kCreateTimeout{30};
constexpr seconds kStartTimeout{10};
// A process in uninterruptible sleep (a dead file server) can hold a killed pod.
constexpr seconds kKillTimeout{60};

constexpr unsigned long kNsGetPidFromPidns = _IOR(0xb7, 6, int);  // linux/nsfs.h, Linux 6.11

Result<UniqueFd> OpenNamespace(pid_t pid, const char* name) {
  return OpenFile("/proc/" + std::to_string(pid) + "/ns/" + name, O_RDONLY);
}

class NodePod final : public Pod {
 public:
  NodePod(const PodOptions& options, Process init, UniqueFd control)
      : options_(options),
        init_(std::move(init)),
        init_pid_(init_.pid()),
        control_(std::move(control)) {}

  Status OpenNamespaces() {
    HOLDFAST_TRY(init_pidfd_, init_.pidfd().Duplicate());
    HOLDFAST_TRY(mount_, OpenNamespace(init_pid_, "mnt"));
    HOLDFAST_TRY(network_, OpenNamespace(init_pid_, "net"));
    HOLDFAST_TRY(pid_, OpenNamespace(init_pid_, "pid"));
    HOLDFAST_TRY(uts_, OpenNamespace(init_pid_, "uts"));
    // PID 1 itself has the node's clocks.
    HOLDFAST_TRY(time_, OpenNamespace(init_pid_, "time_for_children"));
    return {};
  }

  const PodOptions& options() const override { return options_; }
  pid_t init_pid() const override { return init_pid_; }
  const UniqueFd& mount_namespace() const override { return mount_; }
  const UniqueFd& network_namespace() const override { return network_; }
  const UniqueFd& pid_namespace() const override { return pid_; }
  const UniqueFd& uts_namespace() const override { return uts_; }

  void Enter(SpawnOptions& options) const override {
    // Cgroups need no entering: the warden is in the pod's already.
    for (const UniqueFd* ns : {&pid_, &network_, &uts_, &time_, &mount_})
      options.namespaces.push_back(ns->get());
  }

  std::string root_path() const override { return "/proc/" + std::to_string(init_pid_) + "/root"; }
  std::string proc_path() const override { return root_path() + "/proc"; }

  Result<pid_t> OuterPid(pid_t pid) const override {
    const int outer = ::ioctl(pid_.get(), kNsGetPidFromPidns, pid);
    if (outer > 0) return outer;
    if (errno != ENOTTY) return FailErrno("finding the pod's process " + std::to_string(pid));
    return FindOuterPid(pid);
  }

  Result<pid_t> StartRoot(const std::vector<std::string>& argv) override {
    HOLDFAST_CHECK(SendControl(control_, ControlType::kStart, JoinArguments(argv)));
    HOLDFAST_TRY(const ControlMessage answer, ReceiveControl(control_, kStartTimeout));
    if (answer.type != ControlType::kStarted)
      return Fail(Code::kInternal, "starting pod-root: " + answer.payload);
    HOLDFAST_TRY(root_pid_, ReadNumber(answer.payload));
    return root_pid_;
  }

  Status CoverSysctls() override { return Ask(ControlType::kCover); }
  Status UncoverSysctls() override { return Ask(ControlType::kUncover); }

  void AdoptRoot(pid_t pid) override {
    root_pid_ = pid;
    // If init is gone, exit_fd() tells.
    [[maybe_unused]] const Status told =
        SendControl(control_, ControlType::kAdopt, std::to_string(pid));
  }

  pid_t root_pid() const override { return root_pid_; }
  const UniqueFd& exit_fd() const override { return control_; }

  Result<ExitStatus> TakeExit() override {
    const auto message = ReceiveControl(control_, seconds(0));
    if (!message && message.error().code() == Code::kNotFound) return init_.Wait(kKillTimeout);
    if (!message) return std::unexpected(message.error());
    HOLDFAST_TRY(const int status, ReadNumber(message->payload));
    return ExitStatus::FromWait(status);
  }

  Status Hold(const UniqueFd& descriptor) const override {
    return SendDescriptor(control_, ControlType::kHold, descriptor);
  }

  void LetGo() const override {
    // If init is gone, so are they.
    [[maybe_unused]] const Status told = SendControl(control_, ControlType::kLetGo);
  }

  void Condemn() const override {
    // Fails only if it has ended already.
    ::syscall(SYS_pidfd_send_signal, init_pidfd_.get(), SIGKILL, nullptr, 0);
  }

  Status Kill() override {
    // The kernel kills the rest of a pid namespace with its PID 1, and PID 1 is not gone before
    // they all are (pid_namespaces(7)).
    HOLDFAST_CHECK(init_.Kill(SIGKILL));
    if (init_.pid() < 0) return {};
    return init_.Wait(kKillTimeout)
        .transform([](const ExitStatus&) {})
        .transform_error([](Error error) { return std::move(error).Wrap("killing the pod"); });
  }

 private:
  Status Ask(ControlType what) {
    HOLDFAST_CHECK(SendControl(control_, what));
    HOLDFAST_TRY(const ControlMessage answer, ReceiveControl(control_, kStartTimeout));
    if (answer.type != ControlType::kDone) return Fail(Code::kInternal, answer.payload);
    return {};
  }

  // Before Linux 6.11 only a search tells.
  Result<pid_t> FindOuterPid(pid_t pid) const {
    HOLDFAST_TRY(const std::vector<std::string> names, ProcessesIn(pid_));
    for (const std::string& name : names) {
      HOLDFAST_TRY(const pid_t outer, ReadNumber(name));
      if (IdInPod(outer) == pid) return outer;
    }
    return Fail(Code::kNotFound, "the pod has no process " + std::to_string(pid));
  }

  PodOptions options_;
  Process init_;
  pid_t init_pid_;
  UniqueFd init_pidfd_;  // init_ changes when it is waited for
  UniqueFd control_;
  UniqueFd mount_, network_, pid_, uts_, time_;
  pid_t root_pid_ = -1;
};

}  // namespace

Result<std::unique_ptr<Pod>> Pod::Create(const PodOptions& options) {
  const auto wrap = [&](Error error) {
    return std::move(error).Wrap("creating pod " + std::to_string(options.index));
  };
  const auto create = [&]() -> Result<std::unique_ptr<Pod>> {
    HOLDFAST_TRY(const UniqueFd hosts, FileInMemory(options.hosts));
    HOLDFAST_TRY(const UniqueFd resolver, FileInMemory(options.resolver));
    HOLDFAST_TRY(auto control, MakeSocketPair(SOCK_SEQPACKET));
    HOLDFAST_TRY(const UniqueFd null, OpenFile("/dev/null", O_RDWR));
    SpawnOptions spawn;
    spawn.argv = {options.init_program, options.hostname, std::to_string(options.owner.uid),
                  std::to_string(options.owner.gid),
                  std::to_string(options.private_directories.size())};
    for (const PrivateDirectory& directory : options.private_directories)
      spawn.argv.insert(spawn.argv.end(), {directory.path, directory.place});
    for (const gid_t group : options.owner.groups) spawn.argv.push_back(std::to_string(group));
    spawn.env.emplace();
    spawn.fds = {{null.get(), 0},         {null.get(), 1},
                 {null.get(), 2},         {control.second.get(), kControlFd},
                 {hosts.get(), kHostsFd}, {resolver.get(), kResolverFd}};
    spawn.unshare_flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWPID;
    spawn.oom_score_adj = options.oom_score_adj;
    spawn.new_session = true;
    spawn.kill_with_parent = false;  // it ends by itself when `control` closes, see Serve there
    HOLDFAST_TRY(Process init, Process::Spawn(spawn));
    control.second.Reset();

    HOLDFAST_TRY(const ControlMessage ready, ReceiveControl(control.first, kCreateTimeout));
    if (ready.type != ControlType::kReady) return Fail(Code::kInternal, ready.payload);
    auto pod = std::make_unique<NodePod>(options, std::move(init), std::move(control.first));
    HOLDFAST_CHECK(pod->OpenNamespaces());
    return pod;
  };
  return create().transform_error(wrap);
}

}  // namespace holdfast::warden
