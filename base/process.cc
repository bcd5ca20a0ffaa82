#include "base/process.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/files.h"

namespace holdfast {
namespace {

using std::chrono::steady_clock;

// What the child says when a step before exec fails. Fits a pipe write, so it is never split.
struct ChildFailure {
  int errno_value;
  char step[32];
};

// Everything the child needs, laid out before the fork.
struct Prepared {
  std::vector<char*> argv;
  std::vector<char*> envp;
  std::vector<std::string> candidates;  // argv[0] in every PATH directory
  std::string oom_score_adj;            // empty: the parent's
};

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

Prepared Prepare(const SpawnOptions& options) {
  Prepared prepared{.argv = Pointers(options.argv)};
  if (options.env) prepared.envp = Pointers(*options.env);
  if (options.oom_score_adj) prepared.oom_score_adj = std::to_string(*options.oom_score_adj);
  const std::string& program = options.argv[0];
  if (program.find('/') != std::string::npos) {
    prepared.candidates.push_back(program);
    return prepared;
  }
  const char* path = ::getenv("PATH");
  std::string rest = path ? path : "/usr/sbin:/usr/bin:/sbin:/bin";
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    const std::string directory = rest.substr(0, colon);
    if (!directory.empty()) prepared.candidates.push_back(directory + "/" + program);
    rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
  }
  return prepared;
}

[[noreturn]] void FailInChild(int report, const char* step) {
  ChildFailure failure{.errno_value = errno, .step = {}};
  std::strncpy(failure.step, step, sizeof failure.step - 1);
  [[maybe_unused]] const ssize_t n = ::write(report, &failure, sizeof failure);
  ::_exit(127);
}

// Puts the descriptors where the options want them; the report pipe is moved above them all.
int ArrangeFds(const SpawnOptions& options, int report) {
  int top = 3;
  for (const auto& [from, to] : options.fds) top = std::max({top, from + 1, to + 1});
  const int moved_report = ::fcntl(report, F_DUPFD_CLOEXEC, top);
  if (moved_report < 0) FailInChild(report, "fcntl");
  // First out of the way, then into place, so that no target overwrites a source not yet moved.
  int staged[64];
  size_t count = 0;
  for (const auto& [from, to] : options.fds) {
    if (count == std::size(staged)) {
      errno = E2BIG;
      FailInChild(moved_report, "too many descriptors");
    }
    staged[count] = ::fcntl(from, F_DUPFD_CLOEXEC, moved_report + 1);
    if (staged[count++] < 0) FailInChild(moved_report, "fcntl");
  }
  count = 0;
  for (const auto& [from, to] : options.fds)
    if (::dup2(staged[count++], to) < 0) FailInChild(moved_report, "dup2");
  // Whatever else is open, from whichever library, is not the child's business.
  unsigned keep_below = 3;
  for (const auto& [from, to] : options.fds)
    keep_below = std::max(keep_below, static_cast<unsigned>(to) + 1);
  if (::syscall(SYS_close_range, keep_below, ~0U, CLOSE_RANGE_CLOEXEC) != 0)
    FailInChild(moved_report, "close_range");
  for (unsigned fd = 3; fd < keep_below; ++fd) {
    bool named = false;
    for (const auto& [from, to] : options.fds) named |= static_cast<unsigned>(to) == fd;
    if (!named) ::close(static_cast<int>(fd));
  }
  return moved_report;
}

// To exactly these of those that it has, in such a way that exec keeps them.
void LimitCapabilities(const std::vector<int>& wanted, int report) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capget, &header, data) != 0) FailInChild(report, "capget");
  __user_cap_data_struct kept[_LINUX_CAPABILITY_U32S_3] = {};
  for (const int capability : wanted)
    kept[CAP_TO_INDEX(capability)].permitted |=
        data[CAP_TO_INDEX(capability)].permitted & CAP_TO_MASK(capability);
  for (__user_cap_data_struct& word : kept) word.effective = word.inheritable = word.permitted;
  if (::syscall(SYS_capset, &header, kept) != 0) FailInChild(report, "capset");
  for (const int capability : wanted)
    if ((kept[CAP_TO_INDEX(capability)].permitted & CAP_TO_MASK(capability)) != 0 &&
        ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0)
      FailInChild(report, "raising a capability");
}

void TakeIdentity(const SpawnOptions& options, int report) {
  const auto& identity = options.identity;
  if (!identity) return;
  if (::syscall(SYS_setgroups, identity->groups.size(), identity->groups.data()) != 0)
    FailInChild(report, "setgroups");
  if (::syscall(SYS_setresgid, identity->gid, identity->gid, identity->gid) != 0)
    FailInChild(report, "setresgid");
  if (!options.capabilities.empty() && ::prctl(PR_SET_KEEPCAPS, 1) != 0)
    FailInChild(report, "keeping capabilities");
  if (::syscall(SYS_setresuid, identity->uid, identity->uid, identity->uid) != 0)
    FailInChild(report, "setresuid");
  if (!options.capabilities.empty()) LimitCapabilities(options.capabilities, report);
}

// While it has the parent's capabilities: with CAP_SYS_RESOURCE the program can then not go below
// this score itself.
void SetOomScore(const std::string& score, int report) {
  if (score.empty()) return;
  const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file < 0 || ::write(file, score.data(), score.size()) < 0)
    FailInChild(report, "setting oom_score_adj");
  ::close(file);
}

void ResetSignals() {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    ::sigaction(signal, &action, nullptr);  // SIGKILL and SIGSTOP refuse, which is fine
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void RunChild(const SpawnOptions& options, const Prepared& prepared, pid_t parent,
                           int report) {
  // Before descriptors move: one of these may have a number that another is to get.
  if (options.cgroup_procs && ::write(*options.cgroup_procs, "0", 1) != 1)
    FailInChild(report, "joining the cgroup");
  SetOomScore(prepared.oom_score_adj, report);
  for (const int fd : options.namespaces)
    if (::syscall(SYS_setns, fd, 0) != 0) FailInChild(report, "setns");
  report = ArrangeFds(options, report);
  const int unshare_flags = options.unshare_flags & ~CLONE_NEWPID;
  if (unshare_flags != 0 && ::unshare(unshare_flags) != 0) FailInChild(report, "unshare");
  if (options.new_session && ::setsid() < 0) FailInChild(report, "setsid");
  TakeIdentity(options, report);
  if (!options.cwd.empty() && ::chdir(options.cwd.c_str()) != 0) FailInChild(report, "chdir");
  if (options.kill_with_parent) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) FailInChild(report, "prctl");
    // In another pid namespace the parent's number says nothing, and 0 stands for "outside".
    const pid_t now = ::getppid();
    if (now != parent && now != 0) ::_exit(127);
  }
  ResetSignals();
  char* const* envp = options.env ? prepared.envp.data() : environ;
  int best = ENOENT;
  for (const std::string& candidate : prepared.candidates) {
    ::execve(candidate.c_str(), prepared.argv.data(), envp);
    if (errno != ENOENT && errno != ENOTDIR) best = errno;
  }
  errno = best;
  FailInChild(report, "exec");
}

// While it lives, children of the calling thread are born in another pid namespace.
class PidNamespaceForChildren {
 public:
  explicit PidNamespaceForChildren(const std::vector<int>& namespaces) {
    for (const int fd : namespaces) {
      if (::ioctl(fd, kNsGetType) != CLONE_NEWPID) continue;
      own_.Reset(::open("/proc/thread-self/ns/pid_for_children", O_RDONLY | O_CLOEXEC));
      failed_ = !own_.valid() || ::syscall(SYS_setns, fd, CLONE_NEWPID) != 0;
    }
  }
  ~PidNamespaceForChildren() {
    if (own_.valid() && ::syscall(SYS_setns, own_.get(), CLONE_NEWPID) != 0) std::abort();
  }
  bool failed() const { return failed_; }

 private:
  static constexpr unsigned long kNsGetType = 0xb703;  // NS_GET_NSTYPE of linux/nsfs.h
  UniqueFd own_;
  bool failed_ = false;
};

}  // namespace

std::string ExitStatus::ToString() const {
  if (signal == 0) return "exit code " + std::to_string(code);
  const char* name = sigdescr_np(signal);
  return "killed by signal " + std::to_string(signal) +
         (name ? " (" + std::string(name) + ")" : "");
}

ExitStatus ExitStatus::FromWait(int wait_status) {
  if (WIFSIGNALED(wait_status)) return {.signal = WTERMSIG(wait_status)};
  return {.code = WEXITSTATUS(wait_status)};
}

Result<Process> Process::Spawn(const SpawnOptions& options) {
  if (options.argv.empty()) return Fail(Code::kInternal, "spawning a process: no program named");
  const Prepared prepared = Prepare(options);
  HOLDFAST_TRY(Pipe report, MakePipe());

  const PidNamespaceForChildren in_namespace(options.namespaces);
  if (in_namespace.failed()) return FailErrno("entering a pid namespace");
  // Between here and exec the child shares nothing with us; signals wait until it has reset
  // handlers.
  sigset_t all, previous;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &previous);
  const pid_t parent = ::getpid();
  // A raw fork: glibc's would run handlers of libraries in the child. A new pid namespace begins
  // with this fork: unshare(2) would only apply to the child's children.
  const int clone_flags = CLONE_PIDFD | SIGCHLD | (options.unshare_flags & CLONE_NEWPID);
  int pidfd = -1;
  const long pid = ::syscall(SYS_clone, clone_flags, nullptr, &pidfd, nullptr, 0);
  if (pid == 0) RunChild(options, prepared, parent, report.write_end.get());
  const int clone_errno = errno;
  ::pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  if (pid < 0) return std::unexpected(Error::FromErrno("fork", clone_errno));

  Process process(static_cast<pid_t>(pid), UniqueFd(pidfd));
  report.write_end.Reset();
  ChildFailure failure;
  ssize_t n;
  do {
    n = ::read(report.read_end.get(), &failure, sizeof failure);
  } while (n < 0 && errno == EINTR);
  if (n == sizeof failure)
    return std::unexpected(
        Error::FromErrno("starting " + options.argv[0] + ": " + failure.step, failure.errno_value));
  return process;
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    Discard();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
  }
  return *this;
}

Process::~Process() { Discard(); }

void Process::Discard() {
  if (pid_ < 0) return;
  [[maybe_unused]] const Status killed = Kill(SIGKILL);
  [[maybe_unused]] const auto reaped = Wait();
}

Status Process::Kill(int signal) const {
  if (pid_ < 0) return {};
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0) != 0 && errno != ESRCH)
    return FailErrno("signalling process " + std::to_string(pid_));
  return {};
}

Result<ExitStatus> Process::Wait(std::optional<std::chrono::milliseconds> timeout) {
  if (pid_ < 0) return Fail(Code::kInternal, "waiting for a process that is not there");
  const auto deadline = timeout ? steady_clock::now() + *timeout : steady_clock::time_point::max();
  while (true) {
    int wait_ms = -1;
    if (timeout) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
      wait_ms = static_cast<int>(std::max<long long>(0, left.count()));
    }
    pollfd poll_fd{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&poll_fd, 1, wait_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return FailErrno("poll");
    if (ready == 0) return Fail(Code::kTimeout, "process " + std::to_string(pid_) + " still runs");
    break;
  }
  int status = 0;
  pid_t reaped;
  do {
    reaped = ::waitpid(pid_, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  if (reaped < 0) return FailErrno("waiting for process " + std::to_string(pid_));
  pid_ = -1;
  return ExitStatus::FromWait(status);
}

pid_t Process::Release() {
  pidfd_.Reset();
  return std::exchange(pid_, -1);
}

Result<CommandOutput> RunCommand(SpawnOptions options, std::chrono::milliseconds timeout) {
  constexpr size_t kMaxOutputBytes = 1 << 20;
  HOLDFAST_TRY(Pipe pipe, MakePipe());
  HOLDFAST_TRY(const UniqueFd null, OpenFile("/dev/null", O_RDONLY));
  options.fds.emplace_back(null.get(), 0);
  options.fds.emplace_back(pipe.write_end.get(), 1);
  options.fds.emplace_back(pipe.write_end.get(), 2);
  HOLDFAST_TRY(Process process, Process::Spawn(options));
  pipe.write_end.Reset();

  const auto deadline = steady_clock::now() + timeout;
  CommandOutput result;
  char buffer[65536];
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
    pollfd poll_fd{.fd = pipe.read_end.get(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&poll_fd, 1, static_cast<int>(std::max<long long>(0, left.count())));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return FailErrno("poll");
    if (ready == 0)
      return Fail(Code::kTimeout, options.argv[0] + " did not finish within " +
                                      std::to_string(timeout.count()) + " ms");
    const ssize_t n = ::read(pipe.read_end.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FailErrno("read");
    if (n == 0) break;
    const size_t room = kMaxOutputBytes - result.output.size();
    result.output.append(buffer, std::min(room, static_cast<size_t>(n)));
  }
  HOLDFAST_TRY(result.status,
               process.Wait(std::chrono::ceil<std::chrono::milliseconds>(
                   std::max(deadline - steady_clock::now(), steady_clock::duration::zero()))));
  return result;
}

}  // namespace holdfast
