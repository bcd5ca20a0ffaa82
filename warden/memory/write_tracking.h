// Which memory has not been written since the checkpoint before, so that a save need not read it
// (docs/adr/0036-write-tracking.md).
//
// Linux can write-protect pages so that the first write to one only takes the protection off
// (userfaultfd(2), UFFD_FEATURE_WP_ASYNC, since 6.7). A page that still has it is as it was. It is
// given in a freeze, when nothing in the pod runs and nothing writes for it; what is new since, or
// was ever touched by whatever the kernel does not follow, has none, and is read.
//
// The protection belongs to an address space, and lasts as long as its userfaultfd, which is kept
// here. What a process is found to have can only have come from here: CRIU refuses to save who has
// a userfaultfd of its own, or an address space together with another process, and one that is new
// (fork, exec) is not registered with any.
//
// Used by operations.cc, save.cc, frozen_memory.cc and precopy_memory.cc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "warden/memory/huge_pages.h"
#include "warden/memory/page_scan.h"

namespace holdfast::warden {

// For a kernel that CheckWriteTracking (userfault.h) is content with.
class WriteTracking {
 public:
  // `verify`: what has not been written is read all the same, and compared (for tests).
  explicit WriteTracking(bool verify) : verify_(verify) {}

  bool verify() const { return verify_; }

  // A save begins: CRIU's end of a socket, tracking_socket.h.
  Result<UniqueFd> Begin();
  // CRIU has stopped all processes: takes what has come. `proc`: the pod's /proc.
  void Receive(const std::string& proc);

  struct Unwritten {
    // Whole pages that the process has not written since a checkpoint, ascending; of a process that
    // runs, as of some moment of the call.
    std::vector<AddressRange> ranges;
    // What was saved of it then.
    const std::vector<AddressRange>* saved = nullptr;
  };
  // Nothing if that is not known.
  std::optional<Unwritten> Find(pid_t pid, uint32_t checkpoint) const;
  // The process, which does not run, is being saved for that checkpoint, its pages being `saved`:
  // from now on its writes count.
  void Arm(pid_t pid, uint32_t checkpoint, std::vector<AddressRange> saved);

  // Huge pages that writes have split. Once the processes run, they can be made again.
  HugePagePlan TakeSplit() { return std::exchange(split_, {}); }

  // A process and a userfaultfd of its memory. For Receive, and for tests.
  Status Add(const std::string& proc, pid_t pid, UniqueFd userfault);

 private:
  struct Process {
    UniqueFd directory;  // in /proc: of this process, whatever becomes of its number
    UniqueFd userfault;
    uint32_t checkpoint = 0;  // since which its writes count; 0: none
    std::vector<AddressRange> saved;
    std::vector<uint64_t> huge;  // addresses of huge pages that were protected then, ascending
  };
  Status ArmMappings(pid_t pid, Process& process);
  Status ArmMapping(AddressRange where, const UniqueFd& pagemap, Process& process,
                    std::vector<uint64_t>& huge, std::vector<uint64_t>& split) const;

  const bool verify_;
  const HugePageRules huge_ = HugePageRules::OfThisNode();
  std::map<pid_t, Process> processes_;  // by pid in the pod
  HugePagePlan split_;
  UniqueFd socket_;
};

}  // namespace holdfast::warden
