// Part of the library that `criu restore` is started with (LD_PRELOAD): its own getpid(2), which
// each process of the tree calls first of all, before it has children. Those that adopt (orphans.h)
// become subreapers there. Needs libc alone.
#include "warden/criu/preload_orphans.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

namespace holdfast::warden {
namespace {

bool Adopts(pid_t pid) {
  const char* list = std::getenv(kAdoptersVariable);
  while (list != nullptr && *list != '\0') {
    char* end = nullptr;
    if (std::strtol(list, &end, 10) == pid) return true;
    list = *end == ',' ? end + 1 : nullptr;
  }
  return false;
}

}  // namespace
}  // namespace holdfast::warden

extern "C" __attribute__((visibility("default"))) pid_t getpid() noexcept {
  static pid_t known = 0;  // a child finds its parent's
  const auto pid = static_cast<pid_t>(::syscall(SYS_getpid));
  if (pid != known && holdfast::warden::Adopts(pid)) ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  known = pid;
  return pid;
}
