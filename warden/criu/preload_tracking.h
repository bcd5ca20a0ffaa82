// Part of the library that `criu dump` is started with (LD_PRELOAD): gets for the warden what it
// takes to know which memory is written after this save (memory/write_tracking.h).
//
// userfaultfd(2) is about the memory of who calls it. So the main thread of each process is made to
// call it (borrowed_thread.h), when CRIU has stopped the whole pod and has not yet looked at what
// the process has open; a duplicate is taken, and the process made to close its own. Should CRIU be
// killed in between, the process keeps it: casualties.h.
//
// Used by preload.cc. Needs libc alone.
#pragma once

#include <sys/types.h>

namespace holdfast::warden {

// The warden gets a userfaultfd of the memory of the thread's process, if that is a main thread and
// the warden wants one. If there can be none, all of its memory is read.
void GiveUserfault(pid_t tid);

}  // namespace holdfast::warden
