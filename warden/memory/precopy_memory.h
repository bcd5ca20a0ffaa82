// Pre-copying: the memory of a running pod is stored ahead of its freeze, which then stores only
// what has changed since (storage/checkpoint.h, BeginAgain). One pass over all memory, in the order
// in which a save takes it. The job runs on meanwhile and is not to notice: limits say how much of
// the node this may take (docs/adr/0015-pre-copy.md).
//
// Used by precopy.cc. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>

#include "base/result.h"
#include "storage/checkpoint.h"
#include "warden/isolation/pod.h"
#include "warden/memory/write_tracking.h"

namespace holdfast::warden {

struct PrecopyLimits {
  unsigned threads = 1;
  double cores = 0;               // CPU time that all threads together may take; 0: no limit
  uint64_t bytes_per_second = 0;  // of memory that is read; 0: no limit
  // The node goes then. Stops, and says so, while there is time for a freeze that has to store
  // everything again, at half the rate that has been measured.
  std::optional<std::chrono::system_clock::time_point> deadline;
};

struct PrecopyResult {
  uint64_t read_bytes = 0;
  bool complete = false;  // otherwise it was stopped, or the deadline stopped it
  std::chrono::nanoseconds cpu_time{};
  // With a deadline: when the pod has to be frozen at the latest.
  std::optional<std::chrono::system_clock::time_point> freeze_by;
};

// What is put is one stream, of pieces with their processes and addresses. Processes that end and
// memory that goes meanwhile are passed over; only the writer can fail. `tracking`: null, or what
// knows which memory need not be read.
Result<PrecopyResult> PrecopyMemory(const Pod& pod, storage::PodWriter& writer,
                                    const PrecopyLimits& limits, const std::stop_token& stop,
                                    const WriteTracking* tracking = nullptr);

}  // namespace holdfast::warden
