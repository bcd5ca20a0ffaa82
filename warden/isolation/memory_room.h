// How much memory Slurm's limit leaves the warden, which is charged to the job like everything else
// in the step's cgroups. Beyond the limit the kernel would kill one of the job's processes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace holdfast::warden {

// Bytes that may still be charged to the cgroup at `directory`, in a hierarchy (of either version)
// with the memory controller, before it or one above it is at its limit. File cache counts as room:
// the kernel gives it back. Nothing: there is no limit.
Result<std::optional<uint64_t>> MemoryRoomIn(std::string directory);

// The same for the cgroup of the calling process.
Result<std::optional<uint64_t>> MemoryRoom();

}  // namespace holdfast::warden
