// Putting the warden, and with it everything it starts, into the cgroups of the pod step's task, so
// that Slurm accounts for, limits and ends a pod as it does with any step. Used by the warden's
// main before it starts a thread.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace holdfast::warden {

// A line of /proc/PID/cgroup (cgroups(7)): where the process is in one hierarchy.
struct CgroupMembership {
  std::string controllers;  // "cpu,cpuacct", "name=systemd"; empty for version 2
  std::string path;         // from the hierarchy's root
  bool operator==(const CgroupMembership&) const = default;
};
Result<std::vector<CgroupMembership>> ParseMemberships(const std::string& text);

// The directory where a membership's cgroup is, according to /proc/self/mountinfo's text. kNotFound
// if the hierarchy, or that part of it, is not mounted.
Result<std::string> FindCgroup(const std::string& mountinfo, const CgroupMembership& membership);

// Moves the calling process. Slurm must have put `pid` in its place, that is, `pid` has exec'ed.
Status JoinCgroupsOf(pid_t pid);

}  // namespace holdfast::warden
