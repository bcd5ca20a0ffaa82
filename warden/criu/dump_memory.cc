#include "warden/criu/dump_memory.h"

#include <sys/uio.h>

#include <sstream>
#include <string>

#include "base/duration.h"
#include "base/files.h"
#include "base/numbers.h"
#include "warden/criu/images.h"
#include "warden/isolation/pod_processes.h"

namespace holdfast::warden {
namespace {

// Bytes of address space that a process has to itself, whether anything is there or not.
uint64_t PrivateBytes(const std::string& maps) {
  uint64_t total = 0;
  std::istringstream lines(maps);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    uint64_t begin = 0, end = 0;
    char dash = 0;
    std::string rights;
    if (fields >> std::hex >> begin >> dash >> end >> rights && rights.ends_with('p'))
      total += end - begin;
  }
  return total;
}

}  // namespace

Status CheckDumpMemory(const Pod& pod, const std::optional<uint64_t>& room) {
  if (!room) return {};
  HOLDFAST_TRY(const auto names, ListDirectory(pod.proc_path()));
  for (const std::string& name : names) {
    if (!ParseNumber<pid_t>(name) || name == "1") continue;
    const std::string process = pod.proc_path() + "/" + name;
    const uint64_t reserved = PrivateBytes(ReadFile(process + "/maps").value_or(""));
    // An iovec for each page (dump_pages_args_size in criu/mem.c of CRIU 4.2).
    const uint64_t needed = reserved / PageBytes() * sizeof(iovec);
    if (needed <= *room) continue;
    return Fail(Code::kNoSpace,
                "process " + name + " (" + NameOfProcess(process) + ") has " +
                    FormatBytes(reserved) + " of address space, for which CRIU needs " +
                    FormatBytes(needed) + " of memory, and the job has " + FormatBytes(*room) +
                    " left of its limit on this node; ask for more with --mem, or have the program "
                    "reserve less");
  }
  return {};
}

}  // namespace holdfast::warden
