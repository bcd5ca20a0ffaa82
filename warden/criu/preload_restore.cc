// A library that `criu restore` is started with (LD_PRELOAD): its own ptrace(2). Before CRIU lets
// the first thread go, the calls of late_calls.h are made. Then all are as CRIU and the warden have
// left them, and stopped.
//
// Threads are let go at an earlier time, too, on processors with shadow stacks; then there are no
// calls in the file yet. Needs libc alone.
#include <dlfcn.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <optional>

#include "warden/criu/borrowed_thread.h"
#include "warden/criu/late_calls.h"

namespace holdfast::warden {
namespace {

bool Make(BorrowedThread& thread, LateCall& call) {
  if (call.pointer >= 0) {
    const uint64_t room = thread.room();
    if (room == 0 || !thread.Write(room, call.data.data(), call.size)) return false;
    call.arguments.at(static_cast<size_t>(call.pointer)) = room;
  }
  const int64_t result = thread.Call(call.number, call.arguments);
  if (result >= 0) return true;
  std::fprintf(stderr, "Error (holdfast): system call %d in process %d: %s\n", call.number,
               call.thread, std::strerror(static_cast<int>(-result)));
  return false;
}

// Those of the file from `offset` on, which is moved on.
bool MakeCalls(off_t& offset) {
  std::optional<BorrowedThread> thread;
  pid_t borrowed = 0;
  LateCall call;
  for (; ::pread(kCallsFd, &call, sizeof call, offset) == sizeof call; offset += sizeof call) {
    if (call.thread != borrowed) {
      thread.reset();
      thread.emplace(call.thread);
      borrowed = call.thread;
    }
    if (!Make(*thread, call)) return false;
  }
  return true;
}

}  // namespace
}  // namespace holdfast::warden

extern "C" __attribute__((visibility("default"))) long ptrace(enum __ptrace_request request,
                                                              ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  const pid_t tid = va_arg(arguments, pid_t);
  void* const address = va_arg(arguments, void*);
  void* const data = va_arg(arguments, void*);
  va_end(arguments);
  static off_t made = 0;
  if (request == PTRACE_DETACH && !holdfast::warden::MakeCalls(made)) {
    // All of the pod but its PID 1, which CRIU may not: nothing runs without what it had.
    ::kill(-1, SIGKILL);
    errno = ESRCH;
    return -1;
  }
  static const auto next = reinterpret_cast<decltype(&::ptrace)>(::dlsym(RTLD_NEXT, "ptrace"));
  return next(request, tid, address, data);
}
