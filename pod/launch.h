// What Slurm gave the batch script, as holdfast-batch found it, so that pod-root can give the
// script the same. Written by holdfast-batch, carried by the warden, read by pod-root from
// kLaunchPath (pod/pod_directory.h) inside the pod.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::pod {

struct Limit {
  int resource = 0;  // RLIMIT_*
  rlim_t soft = RLIM_INFINITY;
  rlim_t hard = RLIM_INFINITY;
};

struct Stdio {
  std::string path;     // opened by pod-root inside the pod, as the user
  bool append = false;  // keep what an output file holds already
};

struct Launch {
  std::vector<std::string> argv;         // script and arguments as the batch step had them
  std::vector<std::string> environment;  // NAME=value
  std::string script;  // contents of the batch script; becomes a file inside the pod
  std::string cwd;
  mode_t umask = 022;
  std::vector<Limit> limits;
  Stdio input, output, error;
  std::string note;  // a line for its stderr before it starts; the warden's
};

std::string Serialize(const Launch& launch);
// Strict: kCorrupt for anything Serialize would not have written.
Result<Launch> ParseLaunch(std::string_view bytes);

}  // namespace holdfast::pod
