#include "pod/exit_like.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

namespace holdfast::pod {

void ExitLike(const ExitStatus& status) {
  if (status.signal == 0) ::exit(status.code);
  const rlimit no_core = {.rlim_cur = 0, .rlim_max = 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::signal(status.signal, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, status.signal);
  ::sigprocmask(SIG_UNBLOCK, &only, nullptr);
  ::raise(status.signal);
  ::exit(128 + status.signal);  // a signal that does not kill by default: as a shell reports it
}

}  // namespace holdfast::pod
