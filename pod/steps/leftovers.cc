#include "pod/steps/leftovers.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/numbers.h"

namespace holdfast::pod {
namespace {

struct Parent {
  pid_t pid = 0;
  bool dead = false;
};

// Field 3 and 4 of proc_pid_stat(5), behind a name that may hold anything.
std::map<pid_t, Parent> Parents() {
  std::map<pid_t, Parent> parents;
  const auto names = ListDirectory("/proc");
  if (!names) return parents;
  for (const std::string& name : *names) {
    const auto pid = ParseNumber<pid_t>(name);
    if (!pid) continue;
    const auto stat = ReadFile("/proc/" + name + "/stat");
    if (!stat) continue;
    const size_t behind = stat->rfind(')');
    if (behind == std::string::npos || behind + 4 >= stat->size()) continue;
    const char state = (*stat)[behind + 2];
    parents[*pid] = {
        .pid = static_cast<pid_t>(std::strtol(stat->c_str() + behind + 4, nullptr, 10)),
        .dead = state == 'Z' || state == 'X'};
  }
  return parents;
}

}  // namespace

void KillLeftovers() {
  // Those that are born meanwhile are found in the next round; the dead ones' children become ours.
  // One that was born while the list was made, of a parent that ended then, is in the next list.
  for (int clean = 0; clean < 2;) {
    const std::map<pid_t, Parent> parents = Parents();
    bool found = false;
    for (const auto& [pid, parent] : parents) {
      if (parent.dead) continue;
      pid_t above = parent.pid;
      while (above != ::getpid() && parents.contains(above)) above = parents.at(above).pid;
      if (above != ::getpid()) continue;
      found = true;
      ::kill(pid, SIGKILL);
      // Returns at once if it is nobody's child of ours.
      siginfo_t info;
      if (parent.pid == ::getpid())
        ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
    }
    clean = found ? 0 : clean + 1;
  }
}

}  // namespace holdfast::pod
