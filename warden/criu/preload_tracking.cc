// Part of the library that `criu dump` is started with (LD_PRELOAD): gets for the warden what it
// takes to know which memory is written after this save (memory/write_tracking.h).
//
// userfaultfd(2) is about the memory of who calls it. So the main thread of each process is made to
// call it, when CRIU has stopped the whole pod and has not yet looked at what the process has open;
// a duplicate is taken, and the process made to close its own. What is executed is an instruction
// of the kernel's vDSO, and no memory of the process is touched. Afterwards the thread is stopped
// where and as CRIU had stopped it.
//
// Should CRIU be killed within these few microseconds, the thread goes on in the wrong place and
// dies, as in other such moments of CRIU's: casualties.h.
#include <elf.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "warden/criu/preload.h"
#include "warden/criu/tracking_socket.h"

namespace holdfast::warden {
namespace {

// Nothing is gained by knowing what a small process writes.
constexpr unsigned long kLeastKib = 8 << 10;

// The processes that the warden has one of already; nothing if it wants none.
const std::optional<std::vector<pid_t>>& Known() {
  static const auto& known = *new std::optional<std::vector<pid_t>>([] {
    std::optional<std::vector<pid_t>> pids;
    if (::getenv(kTrackingVariable) == nullptr) return pids;
    const ssize_t size = ::recv(kTrackingFd, nullptr, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
    if (size < 0) return pids;
    pids.emplace(static_cast<size_t>(size) / sizeof(pid_t));
    ::recv(kTrackingFd, pids->data(), pids->size() * sizeof(pid_t), MSG_DONTWAIT);
    return pids;
  }());
  return known;
}

bool IsLarge(pid_t pid) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/status", pid);
  unsigned long kib = 0;
  FILE* const file = std::fopen(path, "re");
  for (char line[256]; file && std::fgets(line, sizeof line, file);)
    std::sscanf(line, "RssAnon: %lu", &kib);
  if (file) std::fclose(file);
  return kib >= kLeastKib;
}

bool Read(pid_t pid, uint64_t address, void* to, size_t size) {
  const iovec local{.iov_base = to, .iov_len = size};
  const iovec remote{.iov_base = reinterpret_cast<void*>(address), .iov_len = size};
  return ::process_vm_readv(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(size);
}

// Running anything else would end such a section as if it were complete (rseq(2)): CRIU sees to
// that only later.
bool IsInRestartableSequence(pid_t pid) {
  __ptrace_rseq_configuration where{};
  const auto size = reinterpret_cast<void*>(sizeof where);
  if (CallPtrace(PTRACE_GET_RSEQ_CONFIGURATION, pid, size, &where) <= 0 ||
      where.rseq_abi_pointer == 0)
    return false;
  uint64_t section = 0;  // struct rseq: cpu_id_start, cpu_id, rseq_cs
  return !Read(pid, where.rseq_abi_pointer + 8, &section, sizeof section) || section != 0;
}

// Where the vDSO has the instruction `syscall`; 0 if it has not.
uint64_t FindInstruction(pid_t pid) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/maps", pid);
  unsigned long begin = 0, end = 0;
  FILE* const file = std::fopen(path, "re");
  for (char line[512]; file && std::fgets(line, sizeof line, file);)
    if (std::string_view(line).ends_with("[vdso]\n")) std::sscanf(line, "%lx-%lx", &begin, &end);
  if (file) std::fclose(file);
  std::vector<char> code(std::min(end - begin, 16UL << 10));
  if (code.empty() || !Read(pid, begin, code.data(), code.size())) return 0;
  const size_t at = std::string_view(code.data(), code.size()).find("\x0f\x05");
  return at == std::string_view::npos ? 0 : begin + at;
}

// Until it stops again, in this way.
bool GoOn(pid_t pid, __ptrace_request how, int expected) {
  int status = 0;
  return CallPtrace(how, pid, nullptr, nullptr) == 0 && ::waitpid(pid, &status, __WALL) == pid &&
         WIFSTOPPED(status) && status >> 8 == expected;
}

constexpr int kAtSystemCall = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD, which CRIU sets
constexpr int kInterrupted = SIGTRAP | PTRACE_EVENT_STOP << 8;

// A thread of a process that makes system calls for somebody else while this lives.
class Caller {
 public:
  Caller(pid_t pid, const user_regs_struct& registers, uint64_t instruction)
      : pid_(pid), registers_(registers), instruction_(instruction) {
    // CRIU's handler, if it has one, must not take the stops for its own.
    sigset_t child;
    ::sigemptyset(&child);
    ::sigaddset(&child, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &child, &before_);
    const uint64_t all = ~uint64_t{0};
    usable_ = Mask(PTRACE_GETSIGMASK, &mask_) && Mask(PTRACE_SETSIGMASK, &all);
  }
  ~Caller() {
    if (usable_ && SetRegisters(pid_, NT_PRSTATUS, &registers_, sizeof registers_) &&
        Mask(PTRACE_SETSIGMASK, &mask_) &&
        CallPtrace(PTRACE_INTERRUPT, pid_, nullptr, nullptr) == 0)
      GoOn(pid_, PTRACE_CONT, kInterrupted);
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  // Its result: negative if it failed.
  long Call(long number, uint64_t argument) {
    user_regs_struct registers = registers_;
    registers.rip = instruction_;
    registers.rax = static_cast<uint64_t>(number);
    registers.orig_rax = ~uint64_t{0};
    registers.rdi = argument;
    if (!usable_ || !SetRegisters(pid_, NT_PRSTATUS, &registers, sizeof registers)) return -1;
    // Once as it begins, once as it ends.
    for (int i = 0; i < 2; ++i)
      if (!GoOn(pid_, PTRACE_SYSCALL, kAtSystemCall)) return -1;
    if (GetRegisters(pid_, NT_PRSTATUS, &registers, sizeof registers) != sizeof registers)
      return -1;
    return static_cast<long>(registers.rax);
  }

 private:
  bool Mask(__ptrace_request request, const uint64_t* mask) const {
    return CallPtrace(request, pid_, reinterpret_cast<void*>(sizeof *mask),
                      const_cast<uint64_t*>(mask)) == 0;
  }

  const pid_t pid_;
  user_regs_struct registers_;
  const uint64_t instruction_;
  sigset_t before_;
  uint64_t mask_ = 0;
  bool usable_ = false;
};

void Send(pid_t pid, int descriptor) {
  iovec data{.iov_base = &pid, .iov_len = sizeof pid};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptor)] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  // If it does not get there, the process is read as a whole.
  ::sendmsg(kTrackingFd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

void GiveUserfault(pid_t pid, const user_regs_struct& registers) {
  if (!Known() || std::ranges::find(*Known(), pid) != Known()->end()) return;
  if (!IsLarge(pid) || IsInRestartableSequence(pid)) return;
  const uint64_t instruction = FindInstruction(pid);
  const int process = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (instruction == 0 || process < 0) return;
  int duplicate = -1;
  {
    Caller caller(pid, registers, instruction);
    const long made = caller.Call(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (made >= 0) {
      duplicate = static_cast<int>(::syscall(SYS_pidfd_getfd, process, made, 0));
      caller.Call(SYS_close, static_cast<uint64_t>(made));
    }
  }
  if (duplicate >= 0) {
    Send(pid, duplicate);
    ::close(duplicate);
  }
  ::close(process);
}

}  // namespace holdfast::warden
