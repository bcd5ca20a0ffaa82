// What the parts of the library that `criu dump` is started with share. Used by preload*.cc alone.
#pragma once

#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/user.h>

#include <cstddef>

namespace holdfast::warden {

// The C library's, past the library's own.
long CallPtrace(__ptrace_request request, pid_t tid, void* address, void* data);
// Number of bytes; 0 if the kernel has none of that kind, or the thread is gone.
size_t GetRegisters(pid_t tid, long kind, void* to, size_t size);
bool SetRegisters(pid_t tid, long kind, void* from, size_t size);

// The warden gets a userfaultfd(2) of the process' memory, if it wants one (preload_tracking.cc).
// The main thread has been stopped and is as `registers` say, then and afterwards.
void GiveUserfault(pid_t pid, const user_regs_struct& registers);

}  // namespace holdfast::warden
