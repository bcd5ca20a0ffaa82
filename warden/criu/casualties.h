// Who has come to harm because CRIU was killed.
//
// For an instant in each process CRIU has system calls made for it, with a breakpoint behind. If it
// is killed just then (kill -9, or for want of memory), the kernel lets the process go on, into the
// breakpoint, and it dies of SIGTRAP. Nobody can prevent that, and the rest of the job would take
// it for a failure of the program's own, or not notice. Or it keeps a descriptor that it was made
// to open (preload_tracking.cc), and CRIU would not save it again. Or its TCP connections stay in
// repair mode, and it has gone on and met errors there.
//
// Used by operations.cc. One thread.
#pragma once

#include <sys/types.h>

#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

class Casualties {
 public:
  // Remembers the pod's processes, before CRIU gets to them.
  static Result<Casualties> Watch(const Pod& pod);

  // After a save that has failed, when CRIU has ended: kUnavailable, naming it, if a process has
  // died of that, for which it waits a tenth of a second, or has such a descriptor or connection.
  Status Check() const;

 private:
  struct Watched {
    pid_t pid;  // as the node knows it
    UniqueFd pidfd;
    bool has_userfault;  // of its own, and unused
  };
  std::vector<Watched> processes_;
};

}  // namespace holdfast::warden
