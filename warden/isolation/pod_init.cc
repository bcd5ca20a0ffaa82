// Phases, all as root, none touching a path that the job's user could have prepared:
//   1. Isolate      no mount made here reaches the node; clocks of its own
//   2. MountPrivate /tmp, /dev/shm, /dev/pts, the pod's directory, /proc, /sys, /etc/hosts,
//                   /etc/resolv.conf, srun, sbcast, directories of the pod's on the node's disk
//   3. NameHost     the host name, and `lo` up; what CRIU cannot save turned off
//   4. Serve        start pod-root when asked, as the user; drop every capability; reap and report
#include "warden/isolation/pod_init.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/identity.h"
#include "base/process.h"
#include "pod/pod_directory.h"
#include "warden/isolation/io_uring.h"
#include "warden/isolation/pod.h"
#include "warden/isolation/pod_control.h"

namespace holdfast::warden {
namespace {

struct InitArguments {
  std::string hostname;
  Identity owner;
  std::vector<PrivateDirectory> private_directories;
};

Result<InitArguments> ParseArguments(int argc, char** argv) {
  if (argc < 5) return Fail(Code::kInternal, "the pod's init was started without its arguments");
  InitArguments arguments{.hostname = argv[1]};
  HOLDFAST_TRY(const int uid, ReadNumber(argv[2]));
  HOLDFAST_TRY(const int gid, ReadNumber(argv[3]));
  arguments.owner.uid = static_cast<uid_t>(uid);
  arguments.owner.gid = static_cast<gid_t>(gid);
  HOLDFAST_TRY(const int directories, ReadNumber(argv[4]));
  if (directories < 0 || directories > (argc - 5) / 2)
    return Fail(Code::kInternal, "the pod's init was started without its directories");
  int i = 5;
  for (; i < 5 + 2 * directories; i += 2)
    arguments.private_directories.push_back({.path = argv[i], .place = argv[i + 1]});
  for (; i < argc; ++i) {
    HOLDFAST_TRY(const int group, ReadNumber(argv[i]));
    arguments.owner.groups.push_back(static_cast<gid_t>(group));
  }
  return arguments;
}

// Slaves, not private: what the node mounts later (home directories by an automounter) still
// appears in the pod.
Status Isolate() {
  if (::mount("", "/", nullptr, MS_SLAVE | MS_REC, nullptr) != 0)
    return FailErrno("separating the pod's mounts from the node's");
  // For what it starts: clocks.h.
  if (::unshare(CLONE_NEWTIME) != 0)
    return FailErrno("giving the pod clocks of its own (time_namespaces(7), CONFIG_TIME_NS)");
  return {};
}

Status Mount(const char* type, const char* target, unsigned long flags, const std::string& data) {
  if (::mount(type, target, type, flags, data.c_str()) != 0)
    return FailErrno(std::string("mounting ") + type + " on " + target);
  return {};
}

// A fresh sysfs shows the pod's own network devices. The node's cgroup mounts lie below the old
// one; programs look there for their limits, so they move along.
Status MountSys() {
  constexpr const char* kCgroups = "/sys/fs/cgroup";
  const UniqueFd cgroups(
      ::open_tree(AT_FDCWD, kCgroups, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  HOLDFAST_CHECK(Mount("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""));
  if (cgroups.valid() &&
      ::move_mount(cgroups.get(), "", AT_FDCWD, kCgroups, MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return FailErrno(std::string("mounting ") + kCgroups);
  return {};
}

// Where sites have Slurm's programs. Root's own places: none that a user could have prepared.
constexpr const char* kSlurmPlaces[] = {"/usr/bin/", "/usr/local/bin/", "/opt/slurm/bin/",
                                        "/usr/local/slurm/bin/"};
// Scripts whose interpreter is the pod's own copy of the launcher: so nothing of a running srun is
// a file of the node's, which may be another on the next.
constexpr const char* kScripts = HOLDFAST_LIBEXEC "/";

Status BindFile(const char* source, const char* target) {
  if (::mount(source, target, nullptr, MS_BIND, nullptr) != 0)
    return FailErrno(std::string("mounting ") + source + " on " + target);
  return {};
}

// Ours stands over the site's, whatever the PATH of a login shell is; the first of those that are
// there stays reachable at `site`.
Status MountOver(const std::string& name, const std::string& site) {
  const std::string script = kScripts + name;
  if (::access(script.c_str(), X_OK) != 0) return {};  // nothing is installed: a unit test
  bool reachable = false;
  for (const std::string directory : kSlurmPlaces) {
    const std::string place = directory + name;
    if (::access(place.c_str(), X_OK) != 0) continue;
    if (!std::exchange(reachable, true)) {
      HOLDFAST_CHECK(MakeDirectories(site.substr(0, site.rfind('/'))));
      HOLDFAST_TRY(const UniqueFd file, OpenFile(site, O_RDONLY | O_CREAT, 0600));
      HOLDFAST_CHECK(BindFile(place.c_str(), site.c_str()));
    }
    HOLDFAST_CHECK(BindFile(script.c_str(), place.c_str()));
  }
  return {};
}

constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV;

// In memory, since the node's disk may be full. The mount of the files keeps what was mounted here.
Status MountEtc() {
  HOLDFAST_CHECK(Mount("tmpfs", kPodDirectory, kFlags | MS_NOEXEC, "mode=0755"));
  const auto mount_file = [](int descriptor, const char* target) -> Status {
    HOLDFAST_TRY(const std::string contents, ReadAll(UniqueFd(descriptor)));
    if (contents.empty()) return {};  // the node's stays
    const std::string file = std::string(kPodDirectory) + "/" + std::to_string(descriptor);
    HOLDFAST_CHECK(WriteFile(file, contents, 0644));
    return BindFile(file.c_str(), target);
  };
  HOLDFAST_CHECK(mount_file(kHostsFd, "/etc/hosts"));
  HOLDFAST_CHECK(mount_file(kResolverFd, "/etc/resolv.conf"));
  if (::umount2(kPodDirectory, MNT_DETACH) != 0)
    return FailErrno(std::string("unmounting ") + kPodDirectory);
  return {};
}

// All are found before any is mounted: one may cover where another lies.
Status MountDirectories(const std::vector<PrivateDirectory>& directories) {
  std::vector<UniqueFd> found;
  for (const PrivateDirectory& directory : directories) {
    found.emplace_back(
        ::open_tree(AT_FDCWD, directory.place.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    if (!found.back().valid()) return FailErrno("opening " + directory.place);
  }
  for (size_t i = 0; i < directories.size(); ++i) {
    const std::string& path = directories[i].path;
    struct statvfs info = {};
    if (::fstatvfs(found[i].get(), &info) != 0) return FailErrno("looking at " + path);
    // A remount that does not name it takes it away.
    const unsigned long no_exec = (info.f_flag & ST_NOEXEC) != 0 ? MS_NOEXEC : 0;
    if (::move_mount(found[i].get(), "", AT_FDCWD, path.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0 ||
        ::mount(nullptr, path.c_str(), nullptr, MS_REMOUNT | MS_BIND | kFlags | no_exec, nullptr) !=
            0)
      return FailErrno("mounting the pod's own " + path);
  }
  return {};
}

Status MountPrivate(const InitArguments& arguments) {
  const bool tmp_on_disk =
      std::ranges::contains(arguments.private_directories, "/tmp", &PrivateDirectory::path);
  if (!tmp_on_disk) HOLDFAST_CHECK(Mount("tmpfs", "/tmp", kFlags, "mode=1777"));
  HOLDFAST_CHECK(Mount("tmpfs", "/dev/shm", kFlags, "mode=1777"));
  // Terminals come back under the numbers they had, which on the node may be taken. /dev/ptmx leads
  // to the instance that is mounted beside it (Linux 4.7). Group 5 is tty on every distribution.
  HOLDFAST_CHECK(
      Mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0666,mode=0620,gid=5"));
  HOLDFAST_CHECK(MakeDirectories(kPodDirectory));
  HOLDFAST_CHECK(MountEtc());
  HOLDFAST_CHECK(Mount("tmpfs", kPodDirectory, kFlags,
                       "mode=0700,uid=" + std::to_string(arguments.owner.uid) +
                           ",gid=" + std::to_string(arguments.owner.gid)));
  HOLDFAST_CHECK(Mount("proc", "/proc", kFlags | MS_NOEXEC, ""));
  HOLDFAST_CHECK(MountSys());
  HOLDFAST_CHECK(MountOver("srun", pod::kSiteSrunPath));
  HOLDFAST_CHECK(MountOver("sbcast", pod::kSiteSbcastPath));
  return MountDirectories(arguments.private_directories);
}

Status NameHost(const std::string& hostname) {
  if (::sethostname(hostname.data(), hostname.size()) != 0)
    return FailErrno("naming the pod " + hostname);
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = {};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
  if (!socket.valid() || ::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0)
    return FailErrno("bringing up the pod's loopback interface");
  return {};
}

// CRIU saves no sockets of MPTCP, with which Go's servers listen by themselves (1.24). Where it is
// off, as on many machines, programs use TCP.
Status TurnOffMptcp() {
  constexpr const char* kEnabled = "/proc/sys/net/mptcp/enabled";
  return FileExists(kEnabled) ? WriteFile(kEnabled, "0") : Status();
}

// What CRIU writes of an IPC namespace's limits (criu/ipc_ns.c of CRIU 4.2). The files themselves
// cannot be covered: each IPC namespace has its own at these paths. The directories are
// everybody's. Without fs/mqueue it leaves those of message queues alone.
constexpr const char* kIpcLimits[] = {
    "sem",    "msgmax", "msgmnb",          "auto_msgmni", "msgmni",      "shmmax",
    "shmall", "shmmni", "shm_rmid_forced", "msg_next_id", "sem_next_id", "shm_next_id"};
constexpr const char* kCovered[] = {"/proc/sys/kernel", "/proc/sys/fs"};

Status CoverSysctls() {
  for (const char* directory : kCovered)
    HOLDFAST_CHECK(Mount("tmpfs", directory, MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755"));
  for (const char* name : kIpcLimits) {
    const std::string path = std::string(kCovered[0]) + "/" + name;
    HOLDFAST_TRY(const UniqueFd file, OpenFile(path, O_WRONLY | O_CREAT | O_EXCL));
    if (::fchmod(file.get(), 0666) != 0) return FailErrno("making " + path);
  }
  return {};
}

Status UncoverSysctls() {
  for (const char* directory : kCovered)
    if (::umount2(directory, MNT_DETACH) != 0)
      return FailErrno(std::string("uncovering ") + directory);
  return {};
}

Result<pid_t> StartPodRoot(const std::vector<std::string>& argv, const Identity& owner) {
  // The next process gets the number after this one.
  HOLDFAST_CHECK(WriteFile("/proc/sys/kernel/ns_last_pid", std::to_string(kFirstPid - 1)));
  SpawnOptions options;
  options.argv = argv;
  options.env = {{"PATH=/usr/local/bin:/usr/bin:/bin"}};
  options.cwd = "/";
  options.unshare_flags = CLONE_NEWIPC;
  options.identity = owner;
  options.new_session = true;
  options.kill_with_parent = false;  // it ends with the namespace, and the flag would be saved
  HOLDFAST_TRY(Process root, Process::Spawn(options));
  return root.Release();
}

// Once pod-root runs there is nothing left to do that needs any.
Status DropCapabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capset, &header, none) != 0) return FailErrno("dropping capabilities");
  return {};
}

class Server {
 public:
  Server(UniqueFd control, UniqueFd children, Identity owner)
      : control_(std::move(control)), children_(std::move(children)), owner_(std::move(owner)) {}

  // Serves until the warden is gone. The pod then ends, but not before a child has inherited the
  // descriptors that are held. The kernel closes PID 1's before it kills the pod's other processes,
  // and it kills those in the order of their pids: this child last.
  void Serve() {
    while (ServeOnce()) {
    }
    if (held_.empty()) return;
    // Not Process::Spawn: nothing is executed.
    if (::fork() == 0)
      while (true) ::pause();
  }

 private:
  Status ServeOnce() {
    pollfd polled[2] = {{.fd = control_.get(), .events = POLLIN, .revents = 0},
                        {.fd = children_.get(), .events = POLLIN, .revents = 0}};
    if (::poll(polled, 2, -1) < 0 && errno != EINTR) return FailErrno("poll");
    if (polled[1].revents != 0) HOLDFAST_CHECK(Reap());
    if (polled[0].revents != 0) HOLDFAST_CHECK(Obey());
    return {};
  }

  Status Obey() {
    HOLDFAST_TRY(ControlMessage message, ReceiveControl(control_, std::nullopt));
    switch (message.type) {
      case ControlType::kStart: {
        const auto pid = StartPodRoot(SplitArguments(message.payload), owner_);
        if (!pid) return SendControl(control_, ControlType::kFailed, pid.error().message());
        root_ = *pid;
        HOLDFAST_CHECK(DropCapabilities());
        return SendControl(control_, ControlType::kStarted, std::to_string(root_));
      }
      case ControlType::kAdopt: {
        HOLDFAST_TRY(root_, ReadNumber(message.payload));
        return DropCapabilities();
      }
      case ControlType::kCover:
        return Answer(CoverSysctls());
      case ControlType::kUncover:
        return Answer(UncoverSysctls());
      case ControlType::kHold:
        held_.push_back(std::move(message.descriptor));
        return {};
      case ControlType::kLetGo:
        held_.clear();
        return {};
      default:
        return Fail(Code::kInternal, "the pod's init got a message it does not know");
    }
  }

  Status Answer(const Status& done) {
    if (!done) return SendControl(control_, ControlType::kFailed, done.error().message());
    return SendControl(control_, ControlType::kDone);
  }

  Status Reap() {
    signalfd_siginfo ignored;
    [[maybe_unused]] const ssize_t n = ::read(children_.get(), &ignored, sizeof ignored);
    int status = 0;
    for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;)
      if (pid == root_)
        HOLDFAST_CHECK(SendControl(control_, ControlType::kExited, std::to_string(status)));
    return {};
  }

  UniqueFd control_;
  UniqueFd children_;  // signalfd
  Identity owner_;
  pid_t root_ = -1;
  std::vector<UniqueFd> held_;
};

Result<UniqueFd> ChildrenFd() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  if (::sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) return FailErrno("sigprocmask");
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return FailErrno("signalfd");
  return fd;
}

Result<InitArguments> MakePod(int argc, char** argv) {
  HOLDFAST_TRY(InitArguments arguments, ParseArguments(argc, argv));
  ::umask(022);
  HOLDFAST_CHECK(Isolate());
  HOLDFAST_CHECK(MountPrivate(arguments));
  HOLDFAST_CHECK(NameHost(arguments.hostname));
  HOLDFAST_CHECK(TurnOffMptcp());
  HOLDFAST_CHECK(RefuseIoUring());
  return arguments;
}

}  // namespace

int RunPodInit(int argc, char** argv) {
  UniqueFd control(kControlFd);
  if (::fcntl(control.get(), F_SETFD, FD_CLOEXEC) != 0) return 1;
  auto children = ChildrenFd();
  auto arguments = MakePod(argc, argv);
  if (!children || !arguments) {
    const Error& error = arguments ? children.error() : arguments.error();
    [[maybe_unused]] const Status told =
        SendControl(control, ControlType::kFailed, error.message());
    return 1;
  }
  if (!SendControl(control, ControlType::kReady)) return 1;
  Server server(std::move(control), std::move(*children), std::move(arguments->owner));
  server.Serve();
  return 0;
}

}  // namespace holdfast::warden
