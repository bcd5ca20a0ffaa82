// How much memory Slurm's limit leaves the warden, which is charged to the job like everything else
// in the step's cgroups. Beyond the limit the kernel would kill one of the job's processes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace holdfast::warden {

// Bytes that may still be charged to the cgroup at `directory`, in a hierarchy (of either version)
// with the memory controller, before it or one above it is at its limit. File cache counts as room:
// the kernel gives it back. Nothing: there is no limit.
Result<std::optional<uint64_t>> MemoryRoomIn(std::string directory);

// The same for the cgroup of the calling process.
Result<std::optional<uint64_t>> MemoryRoom();

// How many processes of the calling process's cgroups, of the step's task that is, the kernel has
// killed because the limit was reached.
Result<uint64_t> OomKills();

// Watches that there is room while a checkpoint is stored. What will be charged for one is not
// known beforehand: CRIU and its pipes, page tables, and all of what is stored, if the store lies
// in memory. Any thread.
class MemoryWatch {
 public:
  // Of the calling process.
  static Result<std::unique_ptr<MemoryWatch>> Start(uint64_t least_bytes);
  MemoryWatch(std::vector<std::string> directories, uint64_t least_bytes)
      : directories_(std::move(directories)), least_bytes_(least_bytes) {}

  // kNoSpace if there is less. To be called before each piece: it looks at the first of sixteen.
  Status Check();

 private:
  const std::vector<std::string> directories_;  // cgroups
  const uint64_t least_bytes_;
  std::atomic<unsigned> looks_ = 0;
};

}  // namespace holdfast::warden
