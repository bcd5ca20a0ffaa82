#include "pod/signal_fd.h"

#include <unistd.h>

#include <cerrno>

namespace holdfast::pod {

sigset_t JobSignals() {
  sigset_t signals;
  sigfillset(&signals);
  for (const int signal :
       {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGCHLD, SIGPIPE})
    sigdelset(&signals, signal);
  return signals;
}

sigset_t Signals(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

Result<UniqueFd> OpenSignalFd(const sigset_t& signals) {
  if (::sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) return FailErrno("blocking signals");
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC));
  if (!fd.valid()) return FailErrno("signalfd");
  return fd;
}

Result<signalfd_siginfo> ReadSignal(const UniqueFd& fd) {
  signalfd_siginfo info;
  ssize_t n;
  do {
    n = ::read(fd.get(), &info, sizeof info);
  } while (n < 0 && errno == EINTR);
  if (n != sizeof info) return FailErrno("reading a signal");
  return info;
}

}  // namespace holdfast::pod
