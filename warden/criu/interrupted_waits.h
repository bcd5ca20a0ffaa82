// System calls that CRIU interrupts, and how they go on as if it had not.
//
// To look at a thread, CRIU stops it, which ends the system call that the thread waits in. The
// kernel would then do one of three things (signal(7), "Interruption of system calls"):
//
//   begin it again          -ERESTARTSYS, -ERESTARTNOINTR, -ERESTARTNOHAND. CRIU does that too.
//   continue it             -ERESTART_RESTARTBLOCK: nanosleep, clock_nanosleep, poll, and futex
//   with
//                           a timeout. restart_syscall(2) waits for what is left of the time, which
//                           only the kernel knows. CRIU makes it return EINTR.
//   let it return EINTR     epoll_wait, semop, sockets with a timeout and others, for which every
//                           stop is a signal.
//
// No program expects EINTR that has no signal handler.
//
// In images, the second and the third kind are begun again: a restored thread waits the whole time
// again, or what is left of it if the kernel has told (nanosleep's second argument; glibc's sleep
// gives the same place for both).
//
// A thread that goes on after the save gets its registers back as they were at the stop, and then
// the kernel decides. It continues the second kind, because preload.cc keeps what the kernel
// remembers of it. It begins the first and the third kind again unless a signal handler runs first.
// A wait of the third kind would never end if it were longer than the time between two saves and
// began again at each: such a one returns EINTR, for which its callers are prepared.
//
// This is the part that decides; preload.cc, inside CRIU, is the one that uses it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

namespace holdfast::warden {

// The registers in which a thread that has been stopped shows its system call. orig_ax is negative
// if it was in none.
struct SystemCall {
  uint64_t ip = 0;  // after the instruction
  int64_t ax = 0;   // its result
  int64_t orig_ax = -1;
  bool is_32_bit = false;
  bool operator==(const SystemCall&) const = default;
};

struct InterruptedWait {
  SystemCall stopped;  // as the kernel has it
  SystemCall again;    // so that the kernel begins it again, unless a handler runs first
  SystemCall told;     // as CRIU is to see it
  SystemCall left;     // as CRIU's image has it, and the thread after CRIU
};

using Arguments = std::array<uint64_t, 6>;

// Eight bytes of the thread's memory.
using ReadWord = std::function<std::optional<uint64_t>(uint64_t address)>;

// What else matters of the thread.
struct Circumstances {
  // A signal with a handler waits for it, so that the call does return EINTR.
  bool handler_due = false;
  // That of the wait which is being continued, if it is known. orig_ax then is restart_syscall's.
  std::optional<int64_t> number;
};

// Nothing if no system call was interrupted. x86-64.
std::optional<InterruptedWait> FindInterruptedWait(const SystemCall& stopped,
                                                   const Arguments& arguments,
                                                   const Circumstances& circumstances,
                                                   const ReadWord& read);

// Whether it can be continued as long as the kernel's memory of it is kept.
bool IsContinuable(const InterruptedWait& wait);
// What a wait that is being continued is.
bool IsContinuation(const SystemCall& call);

}  // namespace holdfast::warden
