// Which memory a running process has of its own, as CRIU will find it when it is frozen: pages of
// private mappings that are there and are neither a file's nor the kernel's page of zeros. Cut into
// pieces by MemoryCutter, they are what a save stores if nothing changes until then.
//
// Everything is opened below the pod's own /proc, where no pid can ever be another pod's process,
// and stays with the process that it was opened for. Used by precopy_memory.cc. Thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"
#include "warden/criu/images.h"

namespace holdfast::warden {

class LiveMemory {
 public:
  // `proc`: the pod's /proc; `pid`: in the pod. kNotFound if it is gone.
  static Result<LiveMemory> Open(const std::string& proc, pid_t pid);

  pid_t pid() const { return pid_; }
  // All entries are lazy ones. What is mapped or touched meanwhile may be missing.
  Result<Pagemap> Scan() const;
  // False if the pages are no longer there, or the process is gone.
  bool Read(uint64_t address, std::span<std::byte> out) const;

 private:
  LiveMemory(pid_t pid, UniqueFd process, UniqueFd memory)
      : pid_(pid), process_(std::move(process)), memory_(std::move(memory)) {}

  pid_t pid_;
  UniqueFd process_;  // /proc/PID
  UniqueFd memory_;   // of the program that ran when it was opened
};

}  // namespace holdfast::warden
