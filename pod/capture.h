// What Slurm gave the batch script, found out by the process that was started in its place.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "pod/launch.h"

namespace holdfast::pod {

// `argv`: the script and its arguments. Everything else is taken from this process.
Result<Launch> CaptureLaunch(std::vector<std::string> argv);

// The environment without what Holdfast and SPANK put there for themselves.
std::vector<std::string> ScriptEnvironment(const char* const* environment);

// Where descriptor `fd` leads, if a process elsewhere can open the same thing by that name:
// kInvalid, with the remedy, for a file that is gone or private to a pod, a pipe or a terminal.
Result<std::string> PathOfDescriptor(int fd);

}  // namespace holdfast::pod
