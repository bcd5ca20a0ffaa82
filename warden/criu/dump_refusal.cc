#include "warden/criu/dump_refusal.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "base/files.h"
#include "base/identity.h"
#include "warden/isolation/pod_processes.h"

namespace holdfast::warden {
namespace {

struct Known {
  std::string_view words;  // by which it is known
  std::string_view what;
  std::string_view remedy;
};

// By how /proc/PID/fd/N begins.
constexpr Known kKnown[] = {
    {"/dev/infiniband/", "InfiniBand verbs",
     "use TCP between the job's nodes (Open MPI: --mca pml ob1 --mca btl tcp,sm,self)"},
    {"/dev/nvidia", "an NVIDIA GPU", "jobs that use GPUs cannot be saved"},
    {"/dev/kfd", "an AMD GPU", "jobs that use GPUs cannot be saved"},
    {"anon_inode:[userfaultfd]", "userfaultfd(2)", "save again when the program has closed it"},
    {"anon_inode:[perf_event]", "performance counters", "run it without its profiler"},
};

// What CRIU 4.2, or the library in it (unseen.h), says in the log of what it does not know how to
// save.
constexpr Known kWords[] = {
    {"packetized mode for pipes", "a pipe in packet mode (pipe2(2) with O_DIRECT)",
     "save again when it is closed"},
    {"Control messages in queue",
     "a unix socket in which a message with credentials waits (SO_PASSCRED)",
     "save again when it has been read"},
    {"Can't dump that handle", "an inotify watch on a file that cannot be found by its path again",
     "let the program work in the directory that it watches, or watch another"},
    {"without peer",
     "a datagram socket that is connected to a daemon of the node, such as syslog's",
     "save again when it is closed (closelog(3))"},
    {"(holdfast): keyring", "keys in a keyring of its own (keyctl(2))",
     "keep secrets in memory or in files, or save again when the keys are gone"},
    {"(holdfast): protection keys", "memory protection keys (pkey_alloc(2))",
     "turn them off in the program, or save again when they are free"},
    {"Can't make VM id for", "memory that it shares with another process (clone(2) with CLONE_VM)",
     "save again when one of them has ended"},
    {"Can't make FS id for",
     "a working directory that it shares with another process (clone(2) with CLONE_FS)",
     "save again when one of them has ended"},
    {"(/secretmem", "secret memory (memfd_secret(2))", "save again when it is unmapped"},
    {"File name too long", "a file open whose path is longer than 4,095 bytes",
     "save again when it is closed"},
    {"PIDFD_THREAD flag", "a descriptor of a thread (pidfd_open(2) with PIDFD_THREAD)",
     "save again when it is closed"},
    {"Dump eventpoll", "an epoll(7) that watches a file which it has closed itself and others not",
     "take descriptors out of the epoll (EPOLL_CTL_DEL) before they are closed"},
    {"(holdfast): locked on fault", "memory that is locked page by page (mlock2(2), MLOCK_ONFAULT)",
     "save again when it is unlocked"},
    {"(holdfast): directory of a thread",
     "a thread with a working directory of its own (unshare(2) with CLONE_FS)",
     "save again when that thread has ended"},
    {"(holdfast): descriptors of a thread",
     "a thread with descriptors of its own (unshare(2) with CLONE_FILES)",
     "save again when that thread has ended"},
    {"(holdfast): landlock", "restrictions of its own by Landlock",
     "save again when it has ended, or run it without its sandbox"},
    {"(holdfast): dispatched calls",
     "system calls that it catches itself (PR_SET_SYSCALL_USER_DISPATCH, as Wine does)",
     "jobs with such programs cannot be saved"},
    {"inet: Unsupported proto", "a socket of a protocol other than TCP and UDP",
     "use TCP, or save again when it is closed"},
    {"Can't lookup mount", "a file of a file system without a path, such as a POSIX message queue",
     "use a System V message queue"},
};

// The process that CRIU's words are about: "Dump files (pid: 1004) failed with -1", or "Can't make
// VM id for 1004".
std::string PidIn(std::string_view words) {
  for (const std::string_view before : {"(pid: ", " id for "}) {
    const size_t at = words.rfind(before);
    if (at == std::string_view::npos) continue;
    words.remove_prefix(at + before.size());
    return std::string(words.substr(0, words.find_first_not_of("0123456789")));
  }
  return "";
}

// What CRIU has no name for: "Can't dump file 3 of that type [600] (anon anon_inode:[landlock])".
std::string UnknownFileIn(std::string_view words) {
  constexpr std::string_view kBefore = "Can't dump file ";
  const size_t at = words.find(kBefore);
  if (at == std::string_view::npos) return "";
  words.remove_prefix(at);
  words = words.substr(0, words.find('\n'));
  const size_t open = words.find('('), close = words.rfind(')');
  if (open == std::string_view::npos || close <= open) return "";
  return std::string(words.substr(open + 1, close - open - 1));
}

// What CRIU, being the pod's owner, cannot look at: /proc shows such a process as root's (proc(5)).
std::string ExplainRights(const std::string& process, const Identity& owner) {
  struct stat info = {};
  if (!ReadLink(process + "/exe")) return "";  // about to end
  const auto ids = IdentityOfProcessAt(process);
  if (::stat((process + "/fd").c_str(), &info) != 0 || !ids || info.st_uid == owner.uid) return "";
  if (ids->uid != owner.uid)
    return "runs as user " + std::to_string(ids->uid) +
           " (a set-user-id program), and only what runs as the job's user can be saved\n"
           "  next: save again when it has ended";
  return "does not let itself be looked at: its user may execute its program but not read it, or "
         "it asked for that (PR_SET_DUMPABLE)\n  next: make the program readable, or "
         "run it outside of the job (ssh-agent)";
}

}  // namespace

std::string ExplainRefusal(const Pod& pod, std::string_view words) {
  std::string explanation;
  for (const Known& known : kWords) {
    if (words.find(known.words) == std::string_view::npos) continue;
    const std::string pid = PidIn(words);
    explanation += "\n  why:  process " + pid + " (" + NameOfProcess(pod.proc_path() + "/" + pid) +
                   ") has " + std::string(known.what) +
                   ", which CRIU cannot save\n  next: " + std::string(known.remedy);
  }
  for (const std::string& pid :
       ListDirectory(pod.proc_path()).value_or(std::vector<std::string>())) {
    if (!std::ranges::all_of(pid, [](char c) { return c >= '0' && c <= '9'; })) continue;
    if (pid == "1") continue;  // the pod's own
    const std::string process = pod.proc_path() + "/" + pid;
    const auto add = [&](const std::string& what) {
      explanation += "\n  why:  process " + pid + " (" + NameOfProcess(process) + ") " + what;
    };
    if (const std::string why = ExplainRights(process, pod.options().owner); !why.empty()) add(why);
    std::set<std::string_view> said;
    for (const std::string& fd :
         ListDirectory(process + "/fd").value_or(std::vector<std::string>())) {
      const std::string link = ReadLink(process + "/fd/" + fd).value_or("");
      for (const Known& known : kKnown) {
        if (!link.starts_with(known.words) || !said.insert(known.what).second) continue;
        add("uses " + std::string(known.what) +
            ", which CRIU cannot save\n  next: " + std::string(known.remedy));
      }
    }
  }
  const std::string file = UnknownFileIn(words);
  if (!explanation.empty() || file.empty()) return explanation;
  const std::string pid = PidIn(words);
  return "\n  why:  process " + pid + " (" + NameOfProcess(pod.proc_path() + "/" + pid) + ") has " +
         file + " open, which CRIU cannot save\n  next: save again when it is closed";
}

}  // namespace holdfast::warden
