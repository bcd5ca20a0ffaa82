// What of a process nothing outside of it can see, and CRIU does not ask for. Part of the library
// that `criu dump` is started with: found by calls in the process' place (borrowed_thread.h), when
// all are frozen.
//
//   keyrings           a session keyring of the job's own, with keys in it; keys of a process or
//                      thread. A key's number cannot be chosen: refused.
//   protection keys    which are allocated, and what each thread may do with them: refused.
//   SEM_UNDO           what the kernel would add to System V semaphores at the end of the process.
//                      Written into a file for the warden, and done again at a restore.
//   mlockall(2)        whether memory that comes later is to be locked. Written there, too.
//                      Memory that is locked page by page (MLOCK_ONFAULT): refused.
//   unshare(2)         threads with descriptors or a working directory of their own, of which CRIU
//                      saves those of the main thread alone: refused.
//   Landlock           what a process must not do any more cannot be read: refused.
//   prctl(2)           PR_SET_SYSCALL_USER_DISPATCH: calls in its place would be caught: refused.
//
// A process for which there is no sign of any is not touched. Used by preload.cc. Needs libc alone.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace holdfast::warden {

// The file's number in CRIU.
inline constexpr int kUnseenFd = 7;

struct SemaphoreUndo {
  int32_t set;
  int32_t number;      // in the set
  int32_t value;       // of the semaphore
  int32_t adjustment;  // semop(2): semadj
};

// A record of the file.
struct Unseen {
  int32_t process;
  int32_t lock_flags;  // for mlockall(2); 0: it is about a semaphore
  SemaphoreUndo undo;
};

// Looks at a thread, and at its process if it is the main thread. False if it must not be saved;
// then a line for the log says why, in words that dump_refusal.cc knows.
bool LookWithin(pid_t tid);

}  // namespace holdfast::warden
