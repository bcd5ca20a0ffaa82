#include "warden/criu/interrupted_waits.h"

#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>

namespace holdfast::warden {
namespace {

// include/linux/errno.h of Linux: results that only a tracer sees.
constexpr int64_t kRestartSys = -512, kRestartNoIntr = -513, kRestartNoHand = -514,
                  kRestartBlock = -516;

constexpr unsigned kSyscallBytes = 2;  // 0f 05; in 32-bit code cd 80
constexpr int64_t kRestartSyscall32 = 0;

// How long a call waits at most.
enum class Limit { kNone, kMilliseconds, kTimespec, kOfSocket };
struct Call {
  int64_t number;
  Limit limit;
  size_t argument = 0;
};

// Those that return EINTR after any stop: signal(7), "Interruption of system calls and library
// functions by stop signals". Having returned EINTR, they have done nothing.
constexpr Call kReturnEintr[] = {{SYS_epoll_wait, Limit::kMilliseconds, 3},
                                 {SYS_epoll_pwait, Limit::kMilliseconds, 3},
                                 {SYS_epoll_pwait2, Limit::kTimespec, 3},
                                 {SYS_semop, Limit::kNone},
                                 {SYS_semtimedop, Limit::kTimespec, 3},
                                 {SYS_rt_sigtimedwait, Limit::kTimespec, 2},
                                 {SYS_io_getevents, Limit::kTimespec, 4},
                                 {SYS_io_pgetevents, Limit::kTimespec, 4},
                                 {SYS_accept, Limit::kOfSocket},
                                 {SYS_accept4, Limit::kOfSocket},
                                 {SYS_connect, Limit::kOfSocket},
                                 {SYS_read, Limit::kOfSocket},
                                 {SYS_readv, Limit::kOfSocket},
                                 {SYS_recvfrom, Limit::kOfSocket},
                                 {SYS_recvmmsg, Limit::kOfSocket},
                                 {SYS_recvmsg, Limit::kOfSocket},
                                 {SYS_sendmmsg, Limit::kOfSocket},
                                 {SYS_sendmsg, Limit::kOfSocket},
                                 {SYS_sendto, Limit::kOfSocket},
                                 {SYS_write, Limit::kOfSocket},
                                 {SYS_writev, Limit::kOfSocket}};

// Less than between two saves.
constexpr int64_t kShortSeconds = 60;

// Every user of restart_block in Linux 6.18 that a process can wait in.
constexpr int64_t kContinued[] = {SYS_nanosleep, SYS_clock_nanosleep, SYS_poll, SYS_futex};

// A wait that had been continued before is in restart_syscall(2), and the kernel alone knows which
// it was. But many programs load its number right before: mov $NUMBER,%eax; syscall.
std::optional<int64_t> NumberInCode(const SystemCall& call, const ReadWord& read) {
  constexpr uint64_t kMov = 0xb8, kSyscall = 0x050f, kCodeBytes = 7;
  if (call.is_32_bit) return std::nullopt;
  const auto code = read(call.ip - kCodeBytes);
  if (!code || (*code & 0xff) != kMov || (*code >> 40 & 0xffff) != kSyscall) return std::nullopt;
  const auto number = static_cast<int64_t>(*code >> 8 & 0xffffffff);
  return std::ranges::contains(kContinued, number) ? std::optional(number) : std::nullopt;
}

// Whether the call ends between two saves, or never by itself.
bool IsShort(const Call& call, const Arguments& arguments, const ReadWord& read) {
  const uint64_t argument = arguments[call.argument];
  switch (call.limit) {
    case Limit::kNone:
    case Limit::kOfSocket:  // seconds, where they are used at all
      return true;
    case Limit::kMilliseconds:  // negative: without limit
      return static_cast<int32_t>(argument) <= kShortSeconds * 1000;
    case Limit::kTimespec: {
      if (argument == 0) return true;
      const auto seconds = read(argument);
      return seconds && static_cast<int64_t>(*seconds) <= kShortSeconds;
    }
  }
  return false;
}

bool ReturnsEintr(const SystemCall& stopped, const Arguments& arguments, const ReadWord& read) {
  if (stopped.ax != -EINTR || stopped.is_32_bit) return false;
  const auto* call = std::ranges::find(kReturnEintr, stopped.orig_ax, &Call::number);
  return call != std::end(kReturnEintr) && IsShort(*call, arguments, read);
}

// As compel's infect.c of CRIU 4.2 does it.
SystemCall AfterCriu(SystemCall call) {
  if (call.ax == kRestartSys || call.ax == kRestartNoIntr || call.ax == kRestartNoHand) {
    call.ax = call.orig_ax;
    call.ip -= kSyscallBytes;
  } else if (call.ax == kRestartBlock) {
    call.ax = -EINTR;
  }
  return call;
}

}  // namespace

std::optional<InterruptedWait> FindInterruptedWait(const SystemCall& stopped,
                                                   const Arguments& arguments,
                                                   const Circumstances& circumstances,
                                                   const ReadWord& read) {
  const bool continued = stopped.ax == kRestartBlock;
  const bool returns = ReturnsEintr(stopped, arguments, read);
  const bool begun_again =
      stopped.ax == kRestartSys || stopped.ax == kRestartNoIntr || stopped.ax == kRestartNoHand;
  if (stopped.orig_ax < 0 || (!continued && !returns && !begun_again)) return std::nullopt;
  InterruptedWait wait{.stopped = stopped, .again = stopped, .told = {}, .left = {}};
  if (continued || returns) wait.again.ax = kRestartNoHand;
  if (continued && IsContinuation(stopped)) {
    const auto number = circumstances.number ? circumstances.number : NumberInCode(stopped, read);
    if (number)
      wait.again.orig_ax = *number;
    else
      wait.again.ax = -EINTR;
  }
  wait.told = wait.again;
  if (circumstances.handler_due && wait.told.ax == kRestartNoHand) wait.told.ax = -EINTR;
  wait.left = AfterCriu(wait.told);
  return wait;
}

bool IsContinuable(const InterruptedWait& wait) { return wait.stopped.ax == kRestartBlock; }

bool IsContinuation(const SystemCall& call) {
  return call.orig_ax == (call.is_32_bit ? kRestartSyscall32 : SYS_restart_syscall);
}

}  // namespace holdfast::warden
