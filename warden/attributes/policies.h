// NUMA policies (numa(7)) of threads and of pieces of their memory. CRIU knows nothing of them.
// They are seen in /proc/PID/numa_maps, and given back by calls in the threads' place.
//
// Memory nodes are saved by their places among those that the job may use: elsewhere it has others.
// What a thread has of the warden, which Slurm starts as it starts the job's tasks, is not saved:
// elsewhere it has that warden's.
//
// The part of attributes.cc that is about them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "warden/criu/late_calls.h"
#include "warden_images/attributes.pb.h"

namespace holdfast::warden {

// "0-2,5", as the kernel writes it.
std::vector<uint32_t> ParseNodes(std::string_view list);
// What follows the address in a line of numa_maps: "bind=static:0-1 anon=3 ...". `allowed`: the
// nodes that the job may use. Nothing for the usual policy, or one that is not known.
std::optional<attributes::Policy> ParsePolicy(std::string_view line,
                                              const std::vector<uint32_t>& allowed);

class Policies {
 public:
  // Of the calling thread's own policy and nodes.
  Policies();

  // Nothing if it is the calling thread's.
  std::optional<attributes::Policy> Of(const std::string& process, pid_t thread) const;
  // Adds the process' memory that has another policy than its main thread.
  void DescribeAreas(const std::string& process, uint32_t in_pod,
                     attributes::Attributes& all) const;

  // The calls that give these back; nothing if there are none of these nodes here.
  std::optional<LateCall> Give(uint32_t thread, const attributes::Policy& policy) const;
  std::optional<LateCall> Give(const attributes::Area& area) const;

 private:
  bool SetNodes(const attributes::Policy& policy, LateCall& call, size_t first) const;

  std::vector<uint32_t> allowed_;
  std::string own_;  // attributes::Policy
};

}  // namespace holdfast::warden
