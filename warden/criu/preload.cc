// A library that `criu dump` is started with (LD_PRELOAD): its own ptrace(2), for the sake of the
// system calls that threads wait in (interrupted_waits.h).
//
//   1. When CRIU first reads a thread's registers, it is told of a call that will be begun again.
//   2. CRIU's code in a process leaves it by sigreturn, which makes the kernel forget how to
//      continue a wait. The main thread, which runs that code, gets back by other means what
//      sigreturn would have given it.
//   3. When CRIU lets a thread go, its registers become what they were at 1.
//
// A wait that has been continued can be seen to be one, but no longer which: known_waits.h keeps
// that from one save to the next.
//
// At every moment CRIU may be killed; the kernel then lets the threads go as they are. Before 1
// they have never been changed. Between 1 and 3 they are about to begin their calls again.
//
// Before 1 the thread and its process are asked for what only they can see (unseen.h), and for what
// it takes to know what they write (preload_tracking.h).
//
// CRIU is one thread, and this its only tracer. Needs libc alone.
#include <dlfcn.h>
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "warden/criu/interrupted_waits.h"
#include "warden/criu/known_waits.h"
#include "warden/criu/preload_tracking.h"
#include "warden/criu/unseen.h"

namespace holdfast::warden {
namespace {

constexpr int kShadowStack = 0x204;  // NT_X86_SHSTK, since Linux 6.6
// More than any processor's so far (AMX: 11 KiB).
constexpr size_t kLargestState = 64 << 10;

long CallPtrace(__ptrace_request request, pid_t tid, void* address, void* data) {
  static const auto next = reinterpret_cast<decltype(&::ptrace)>(::dlsym(RTLD_NEXT, "ptrace"));
  return next(request, tid, address, data);
}

// Number of bytes; 0 if the kernel has none of that kind, or the thread is gone.
size_t GetRegisters(pid_t tid, long kind, void* to, size_t size) {
  iovec where{.iov_base = to, .iov_len = size};
  return CallPtrace(PTRACE_GETREGSET, tid, reinterpret_cast<void*>(kind), &where) == 0
             ? where.iov_len
             : 0;
}

bool SetRegisters(pid_t tid, long kind, void* from, size_t size) {
  iovec where{.iov_base = from, .iov_len = size};
  return CallPtrace(PTRACE_SETREGSET, tid, reinterpret_cast<void*>(kind), &where) == 0;
}

// struct user_regs_struct of a 32-bit program (arch/x86/include/asm/user_32.h of Linux).
struct Registers32 {
  uint32_t bx, cx, dx, si, di, bp, ax, ds, es, fs, gs, orig_ax, ip, cs, flags, sp, ss;
};

std::optional<SystemCall> ReadCall(const void* registers, size_t size) {
  if (size == sizeof(user_regs_struct)) {
    user_regs_struct all;
    std::memcpy(&all, registers, sizeof all);
    return SystemCall{.ip = all.rip,
                      .ax = static_cast<int64_t>(all.rax),
                      .orig_ax = static_cast<int64_t>(all.orig_rax)};
  }
  if (size != sizeof(Registers32)) return std::nullopt;
  Registers32 all;
  std::memcpy(&all, registers, sizeof all);
  return SystemCall{.ip = all.ip,
                    .ax = static_cast<int32_t>(all.ax),
                    .orig_ax = static_cast<int32_t>(all.orig_ax),
                    .is_32_bit = true};
}

// Of a 32-bit program none: nothing asks for them.
Arguments ReadArguments(const SystemCall& call, const void* registers) {
  if (call.is_32_bit) return {};
  user_regs_struct all;
  std::memcpy(&all, registers, sizeof all);
  return {all.rdi, all.rsi, all.rdx, all.r10, all.r8, all.r9};
}

void WriteCall(const SystemCall& call, void* registers) {
  if (!call.is_32_bit) {
    user_regs_struct all;
    std::memcpy(&all, registers, sizeof all);
    all.rip = call.ip;
    all.rax = static_cast<uint64_t>(call.ax);
    all.orig_rax = static_cast<uint64_t>(call.orig_ax);
    std::memcpy(registers, &all, sizeof all);
    return;
  }
  Registers32 all;
  std::memcpy(&all, registers, sizeof all);
  all.ip = static_cast<uint32_t>(call.ip);
  all.ax = static_cast<uint32_t>(call.ax);
  all.orig_ax = static_cast<uint32_t>(call.orig_ax);
  std::memcpy(registers, &all, sizeof all);
}

// What sigreturn would give back to a main thread.
struct State {
  user_regs_struct registers;
  uint64_t blocked;  // signals
  std::vector<char> extended;
};

struct Thread {
  InterruptedWait wait;
  bool main = false;
  std::unique_ptr<State> state;  // of a main thread, to be put back instead of sigreturn
  bool at_sigreturn = false;
};

std::unordered_map<pid_t, std::optional<Thread>>& Threads() {
  static auto& threads = *new std::unordered_map<pid_t, std::optional<Thread>>;  // until the end
  return threads;
}

KnownWaits& Known() {
  static auto& known = *new KnownWaits(kWaitsFd);
  return known;
}

struct Status {
  pid_t process = 0;
  bool handler_due = false;
};

// If /proc tells nothing, it counts as a main thread for which no signal waits.
Status ReadStatus(pid_t tid) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/status", tid);
  Status status{.process = tid};
  FILE* const file = std::fopen(path, "re");
  unsigned long long own = 0, shared = 0, blocked = 0, caught = 0;
  for (char line[256]; file && std::fgets(line, sizeof line, file);) {
    std::sscanf(line, "Tgid: %d", &status.process);
    std::sscanf(line, "SigPnd: %llx", &own);
    std::sscanf(line, "ShdPnd: %llx", &shared);
    std::sscanf(line, "SigBlk: %llx", &blocked);
    std::sscanf(line, "SigCgt: %llx", &caught);
  }
  if (file) std::fclose(file);
  // A process' signals go to its main thread if that does not block them.
  if (status.process != tid) shared = 0;
  status.handler_due = ((own | shared) & ~blocked & caught) != 0;
  return status;
}

std::unique_ptr<State> ReadState(pid_t tid, const void* registers) {
  // Its shadow stack would have to follow.
  uint64_t shadow = 0;
  if (GetRegisters(tid, kShadowStack, &shadow, sizeof shadow) != 0) return nullptr;
  auto state = std::make_unique<State>();
  std::memcpy(&state->registers, registers, sizeof state->registers);
  state->extended.resize(kLargestState);
  const size_t size = GetRegisters(tid, NT_X86_XSTATE, state->extended.data(), kLargestState);
  if (size == 0 || size == kLargestState) return nullptr;
  state->extended.resize(size);
  state->extended.shrink_to_fit();
  if (CallPtrace(PTRACE_GETSIGMASK, tid, reinterpret_cast<void*>(sizeof state->blocked),
                 &state->blocked) != 0)
    return nullptr;
  return state;
}

std::optional<Thread> Examine(pid_t tid, const SystemCall& call, const void* registers) {
  const auto read = [tid](uint64_t address) -> std::optional<uint64_t> {
    uint64_t word = 0;
    const iovec to{.iov_base = &word, .iov_len = sizeof word};
    const iovec from{.iov_base = reinterpret_cast<void*>(address), .iov_len = sizeof word};
    if (::process_vm_readv(tid, &to, 1, &from, 1, 0) != sizeof word) return std::nullopt;
    return word;
  };
  const Arguments arguments = ReadArguments(call, registers);
  if (!FindInterruptedWait(call, arguments, {}, read)) return std::nullopt;
  const Status status = ReadStatus(tid);
  Circumstances circumstances{.handler_due = status.handler_due};
  if (IsContinuation(call)) circumstances.number = Known().NumberOf(tid, call.ip, arguments);
  Thread thread{.wait = *FindInterruptedWait(call, arguments, circumstances, read),
                .main = status.process == tid};
  if (IsContinuable(thread.wait) && !IsContinuation(thread.wait.again))
    Known().Note(tid, call.ip, arguments, thread.wait.again.orig_ax);
  if (thread.main && IsContinuable(thread.wait) && !call.is_32_bit)
    thread.state = ReadState(tid, registers);
  return thread;
}

// Nothing if it was in no wait when it was stopped.
std::optional<Thread>& Find(pid_t tid, const SystemCall& call, const void* registers) {
  const auto [found, is_new] = Threads().try_emplace(tid);
  if (is_new) found->second = Examine(tid, call, registers);
  return found->second;
}

// CRIU has read registers: the thread's own if it is the first time, or those in CRIU's code.
void AfterReading(pid_t tid, void* registers, size_t size) {
  const auto call = ReadCall(registers, size);
  if (!call) return;
  std::optional<Thread>& thread = Find(tid, *call, registers);
  if (!thread) return;
  if (*call == thread->wait.stopped) WriteCall(thread->wait.told, registers);
  thread->at_sigreturn = call->orig_ax == SYS_rt_sigreturn && call->ax == -ENOSYS;
}

// The thread is about to begin sigreturn. It skips it, and is where that would have led. Until
// CRIU goes on, it would enter restart_syscall.
void SkipSigreturn(pid_t tid) {
  const auto found = Threads().find(tid);
  if (found == Threads().end() || !found->second) return;
  Thread& thread = *found->second;
  if (!thread.state || !thread.at_sigreturn) return;
  State& state = *thread.state;
  user_regs_struct registers = state.registers;
  WriteCall(thread.wait.stopped, &registers);
  registers.rip -= 2;
  registers.rax = SYS_restart_syscall;
  registers.orig_rax = static_cast<uint64_t>(-1);
  // The registers last: they take sigreturn back, which gives everything else.
  const bool skipped =
      SetRegisters(tid, NT_X86_XSTATE, state.extended.data(), state.extended.size()) &&
      CallPtrace(PTRACE_SETSIGMASK, tid, reinterpret_cast<void*>(sizeof state.blocked),
                 &state.blocked) == 0 &&
      SetRegisters(tid, NT_PRSTATUS, &registers, sizeof registers);
  if (skipped) thread.main = false;
  thread.state.reset();
}

void BeforeDetaching(pid_t tid) {
  char registers[sizeof(user_regs_struct)];
  const size_t size = GetRegisters(tid, NT_PRSTATUS, registers, sizeof registers);
  const auto call = ReadCall(registers, size);
  if (!call) return;
  // If CRIU has given up before it looked at it, the thread is examined now.
  const std::optional<Thread>& thread = Find(tid, *call, registers);
  if (!thread) return;
  const InterruptedWait& wait = thread->wait;
  const bool untouched = *call == wait.stopped;
  if (!untouched && *call != wait.left) return;
  const bool remembered = IsContinuable(wait) && (untouched || !thread->main);
  WriteCall(remembered ? wait.stopped : wait.again, registers);
  SetRegisters(tid, NT_PRSTATUS, registers, size);
}

}  // namespace
}  // namespace holdfast::warden

extern "C" __attribute__((visibility("default"))) long ptrace(enum __ptrace_request request,
                                                              ...) noexcept {
  using namespace holdfast::warden;
  va_list arguments;
  va_start(arguments, request);
  const pid_t tid = va_arg(arguments, pid_t);
  void* const address = va_arg(arguments, void*);
  void* const data = va_arg(arguments, void*);
  va_end(arguments);
  const bool reads_registers =
      request == PTRACE_GETREGSET &&
      static_cast<int>(reinterpret_cast<uintptr_t>(address)) == NT_PRSTATUS;
  // All that CRIU is to dump is frozen when it reads the first ones.
  if (reads_registers && !Threads().contains(tid)) {
    if (!LookWithin(tid)) {
      errno = EOPNOTSUPP;
      return -1;
    }
    GiveUserfault(tid);
  }
  if (request == PTRACE_SYSCALL) SkipSigreturn(tid);
  if (request == PTRACE_DETACH) BeforeDetaching(tid);
  const long result = CallPtrace(request, tid, address, data);
  if (result == 0 && reads_registers) {
    const auto* where = static_cast<const iovec*>(data);
    AfterReading(tid, where->iov_base, where->iov_len);
  }
  return result;
}
