#include "warden/dump_refusal.h"

#include <unistd.h>

#include <algorithm>
#include <climits>
#include <set>
#include <string_view>

#include "base/files.h"

namespace holdfast::warden {
namespace {

struct Known {
  std::string_view link_prefix;  // of /proc/PID/fd/N
  std::string_view what;
  std::string_view remedy;
};

constexpr Known kKnown[] = {
    // The kernel does not even let such a descriptor be passed on (CRIU issue 2131).
    {"anon_inode:[io_uring]", "io_uring",
     "turn it off in the program (libuv and Node.js: UV_USE_IO_URING=0)"},
    {"/dev/infiniband/", "InfiniBand verbs",
     "use TCP between the job's nodes (Open MPI: --mca pml ob1 --mca btl tcp,sm,self)"},
    {"/dev/nvidia", "an NVIDIA GPU", "jobs that use GPUs cannot be saved"},
    {"/dev/kfd", "an AMD GPU", "jobs that use GPUs cannot be saved"},
    {"anon_inode:[perf_event]", "performance counters", "run it without its profiler"},
};

std::string ReadLink(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t size = ::readlink(path.c_str(), target, sizeof target);
  return size > 0 ? std::string(target, static_cast<size_t>(size)) : "";
}

}  // namespace

std::string ExplainRefusal(const Pod& pod) {
  std::string explanation;
  for (const std::string& pid :
       ListDirectory(pod.proc_path()).value_or(std::vector<std::string>())) {
    if (!std::ranges::all_of(pid, [](char c) { return c >= '0' && c <= '9'; })) continue;
    const std::string process = pod.proc_path() + "/" + pid;
    std::set<std::string_view> said;
    for (const std::string& fd :
         ListDirectory(process + "/fd").value_or(std::vector<std::string>())) {
      const std::string link = ReadLink(process + "/fd/" + fd);
      for (const Known& known : kKnown) {
        if (!link.starts_with(known.link_prefix) || !said.insert(known.what).second) continue;
        std::string name = ReadFile(process + "/comm").value_or("?");
        name.resize(name.find_last_not_of('\n') + 1);
        explanation += "\n  why:  process " + pid + " (" + name + ") uses " +
                       std::string(known.what) +
                       ", which CRIU cannot save\n  next: " + std::string(known.remedy);
      }
    }
  }
  return explanation;
}

}  // namespace holdfast::warden
