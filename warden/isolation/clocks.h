// A pod's clocks. CLOCK_MONOTONIC and CLOCK_BOOTTIME count from a node's boot, and on the next node
// would show something else altogether: programs would see them go back, or by days ahead, with all
// their timeouts. So a pod has a time namespace (time_namespaces(7)), in which they go on.
// docs/adr/0037-clocks-go-on.md
//
// Used by save.cc and restore.cc. Thread-safe.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

// What they show at this moment, and the time of day, in nanoseconds: "monotonic_ns",
// "boottime_ns", "realtime_ns".
Result<std::map<std::string, std::string>> DescribeClocks(const Pod& pod);

// Sets them to what DescribeClocks said, as if the machine had been suspended since:
// CLOCK_MONOTONIC has stood still, CLOCK_BOOTTIME has not. What earlier versions saved says nothing
// of clocks and leaves them as the node's. Nothing may have run in the pod beside its PID 1.
Status SetClocks(const Pod& pod, const std::map<std::string, std::string>& saved);

}  // namespace holdfast::warden
