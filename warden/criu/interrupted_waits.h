// System calls that wait and that CRIU would let end early.
//
// To look at a thread, CRIU interrupts it. Most system calls are simply begun again afterwards.
// Those whose time is relative (nanosleep, clock_nanosleep, poll, and futex with a timeout) the
// kernel would continue by restart_syscall(2) with what it remembers, which a restored thread has
// not got; CRIU lets them return EINTR, which no program expects that has no signal handler
// (compel's infect.c, CRIU 4.2).
//
// They are begun again instead. nanosleep and clock_nanosleep have then already been told what is
// left, if they were given where to put it (glibc's sleep gives the same place for both); all
// others wait the whole time again: at least as long as asked.
//
// Used by save.cc. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/result.h"

namespace holdfast::warden {

// Reads memory of the thread's process; false if it cannot.
using ReadCode = std::function<bool(uint64_t address, std::span<std::byte> out)>;

// The image core-TID.img with its thread about to begin the wait again, if it was in one; otherwise
// `contents`. kCorrupt if it is no such image. x86-64 only.
Result<std::string> BeginWaitAgain(const std::string& name, const std::string& contents,
                                   const ReadCode& read);

}  // namespace holdfast::warden
