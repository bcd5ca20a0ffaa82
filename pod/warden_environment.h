// What a warden knows when it starts: its environment, made by the plugin in slurmstepd
// (spank-plugin/pod_step.cc), read by the warden's main. Beside it the warden has PATH and what the
// site has put into slurmd's environment for Cloud Storage: no variable of the user's reaches it.
//
// Ids and the node's index come from Slurm itself; the options are the user's, checked again by
// ParseWardenEnvironment.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/identity.h"
#include "base/result.h"
#include "protocol/job_options.h"

namespace holdfast::pod {

struct WardenEnvironment {
  uint32_t job_id = 0;         // HOLDFAST_JOB_ID
  uint32_t restart_count = 0;  // HOLDFAST_RESTART_COUNT: Slurm's, for this start of the job
  uint32_t pod = 0;            // HOLDFAST_POD: the task's number in the pod step
  uint32_t pods = 0;           // HOLDFAST_PODS
  uint32_t slot = 0;           // HOLDFAST_SLOT: which of the job's pods on this node, from 0
  uint32_t slots = 1;          // HOLDFAST_SLOTS: how many these are
  std::string node;            // HOLDFAST_NODE: Slurm's NodeName
  Identity owner;              // HOLDFAST_UID, HOLDFAST_GID, HOLDFAST_GROUPS ("27,100")
  // HOLDFAST_WARNING: how long before its time limit Slurm signals the job (--signal); 0: it does
  // not.
  uint32_t warning_seconds = 0;
  std::string cluster;  // HOLDFAST_CLUSTER: ClusterName
  // HOLDFAST_SUBMITTED: kSubmittedVariable of pod/batch.h; empty for a job of a release that had
  // none
  std::string submitted;
  std::string config_path;  // HOLDFAST_CONFIG
  JobOptions options;       // HOLDFAST_OPTIONS: EncodeOptions

  // The task beside the warden, whose cgroups it joins, but only after the task has become
  // `holdfast-batch --task`: Slurm puts it into its cgroups between fork and exec. exec_fd is a
  // pipe that reaches its end when the task execs (or dies). The pid is a pid of the node.
  pid_t task_pid = 0;  // HOLDFAST_TASK_PID
  int exec_fd = -1;    // HOLDFAST_EXEC_FD
  int link_fd = -1;    // HOLDFAST_WARDEN_FD: the socket of pod/task_link.h
};

// NAME=value for each, as the plugin passes them.
std::vector<std::string> ToStrings(const WardenEnvironment& environment);
// Those of this process's own variables, as NAME=value, that say how Cloud Storage is reached: an
// emulator, a key, a proxy. To be called in slurmstepd, which has its environment from slurmd.
std::vector<std::string> SiteVariables();
// From `environ` or the like. kInvalid, naming the variable, if one is missing or malformed.
Result<WardenEnvironment> ParseWardenEnvironment(const char* const* environment);

}  // namespace holdfast::pod
