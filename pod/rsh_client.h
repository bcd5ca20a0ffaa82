// holdfast-rsh: what mpirun and mpiexec call to start their daemons in the job's other pods, as
// they would call ssh. The command runs there with the caller's environment, directory and umask.
#pragma once

#include <string>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "pod/pod_directory.h"

namespace holdfast::pod {

struct RshCall {
  std::string host;
  std::string command;  // for /bin/sh -c
};

// The command line of ssh as MPI's launchers use it: options, HOST, words of the command. Options
// are accepted and ignored: there is one way to reach a pod.
Result<RshCall> ParseRshArguments(const std::vector<std::string>& arguments);
// By hostname, short hostname or address.
Result<Peer> FindPeer(const std::vector<Peer>& peers, const std::string& host);

// Runs the command there with this process's standard descriptors, and says how it ended.
Result<ExitStatus> RunRemotely(const Peer& peer, const std::string& command);

}  // namespace holdfast::pod
