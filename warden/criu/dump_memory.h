// What CRIU takes of the job's memory limit for a dump, known beforehand.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

// kNoSpace, with the process's name, if less than that is left. `room`: nothing is no limit.
Status CheckDumpMemory(const Pod& pod, const std::optional<uint64_t>& room);

}  // namespace holdfast::warden
