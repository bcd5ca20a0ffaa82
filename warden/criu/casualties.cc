#include "warden/criu/casualties.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <thread>

#include "base/files.h"
#include "base/numbers.h"
#include "warden/isolation/pod_processes.h"

namespace holdfast::warden {
namespace {

using std::chrono::steady_clock;

// A task that was let go dies at once, if it has a processor.
constexpr std::chrono::milliseconds kPatience{100};

// include/uapi/linux/pidfd.h of Linux 6.15.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup;
  std::array<uint32_t, 11> ids;
  int32_t exit_code;  // as wait(2) has it; of a process that has been waited for
};
constexpr unsigned long kGetInfo = _IOWR(0xFF, 11, PidfdInfo);
constexpr uint64_t kInfoExit = 1 << 3;

bool HasExited(const UniqueFd& pidfd) {
  pollfd polled{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  return ::poll(&polled, 1, 0) == 1;
}

// Nothing if nobody can tell: it has been waited for, and the kernel is older than 6.15.
std::optional<int> WaitStatus(pid_t pid, const UniqueFd& pidfd) {
  PidfdInfo info{.mask = kInfoExit, .cgroup = 0, .ids = {}, .exit_code = 0};
  if (::ioctl(pidfd.get(), kGetInfo, &info) == 0 && (info.mask & kInfoExit) != 0)
    return info.exit_code;
  // The last field of proc_pid_stat(5), as long as it has not been waited for.
  const auto stat = ReadFile(fmt::format("/proc/{}/stat", pid));
  if (!stat || !stat->substr(stat->rfind(')') + 1).starts_with(" Z")) return std::nullopt;
  std::string_view last = *stat;
  last.remove_suffix(last.ends_with('\n') ? 1 : 0);
  return ParseNumber<int>(last.substr(last.rfind(' ') + 1));
}

// That of a breakpoint, or of registers and memory that are CRIU's.
bool IsOfCriu(int wait_status) {
  constexpr std::array kSignals{SIGTRAP, SIGSEGV, SIGILL, SIGBUS};
  return WIFSIGNALED(wait_status) && std::ranges::contains(kSignals, WTERMSIG(wait_status));
}

// One of which no features have been asked for yet, as a program does at once with its own.
bool HasUnusedUserfault(pid_t pid) {
  const std::string process = fmt::format("/proc/{}/", pid);
  const auto numbers = ListDirectory(process + "fd");
  return numbers && std::ranges::any_of(*numbers, [&](const std::string& number) {
           // userfaultfd_show_fdinfo in fs/userfaultfd.c of Linux: "API:\taa:FEATURES:..."
           return ReadLink(process + "fd/" + number).value_or("") == "anon_inode:[userfaultfd]" &&
                  ReadFile(process + "fdinfo/" + number).value_or("").contains("API:\taa:0:");
         });
}

// CRIU has TCP connections in repair mode while it reads them: nobody can receive by them then
// (EPERM of tcp_recvmsg in net/ipv4/tcp.c of Linux), and what is sent stays here.
bool HasConnectionInRepair(pid_t pid, const UniqueFd& pidfd) {
  const std::string directory = fmt::format("/proc/{}/fd", pid);
  const auto numbers = ListDirectory(directory);
  return numbers && std::ranges::any_of(*numbers, [&](const std::string& number) {
           if (!ReadLink(directory + "/" + number).value_or("").starts_with("socket:"))
             return false;
           const auto fd = ParseNumber<int>(number);
           const UniqueFd socket(
               static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), fd.value_or(-1), 0)));
           int in_repair = 0;
           socklen_t size = sizeof in_repair;
           return socket.valid() &&
                  ::getsockopt(socket.get(), IPPROTO_TCP, TCP_REPAIR, &in_repair, &size) == 0 &&
                  in_repair != 0;
         });
}

}  // namespace

Result<Casualties> Casualties::Watch(const Pod& pod) {
  Casualties casualties;
  HOLDFAST_TRY(const pid_t init, pod.OuterPid(1));
  HOLDFAST_TRY(const UniqueFd space, OpenFile(fmt::format("/proc/{}/ns/pid", init), O_RDONLY));
  HOLDFAST_TRY(const auto names, ProcessesIn(space));
  for (const std::string& name : names) {
    const auto pid = ParseNumber<pid_t>(name);
    if (!pid || *pid == init) continue;
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0)));
    if (pidfd.valid())
      casualties.processes_.push_back({*pid, std::move(pidfd), HasUnusedUserfault(*pid)});
  }
  return casualties;
}

Status Casualties::Check() const {
  // First: who has been told of an error by one closes it.
  for (const Watched& process : processes_)
    if (HasConnectionInRepair(process.pid, process.pidfd))
      return Fail(Code::kUnavailable,
                  fmt::format("CRIU was killed while it read connections of process {}, which has "
                              "gone on and could not use them",
                              process.pid));
  const auto until = steady_clock::now() + kPatience;
  std::vector<const Watched*> alive;
  for (const Watched& process : processes_) alive.push_back(&process);
  while (true) {
    for (const Watched* process : alive) {
      if (!HasExited(process->pidfd)) continue;
      const auto status = WaitStatus(process->pid, process->pidfd);
      if (!status || IsOfCriu(*status))
        return Fail(Code::kUnavailable,
                    fmt::format("process {} {} when CRIU, which was saving it, was killed",
                                process->pid, status ? "died" : "ended"));
    }
    std::erase_if(alive, [](const Watched* process) { return HasExited(process->pidfd); });
    if (alive.empty() || steady_clock::now() >= until) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  for (const Watched* process : alive)
    if (!process->has_userfault && HasUnusedUserfault(process->pid))
      return Fail(Code::kUnavailable,
                  fmt::format("process {} kept a descriptor of CRIU's when that, which was saving "
                              "it, was killed",
                              process->pid));
  return {};
}

}  // namespace holdfast::warden
