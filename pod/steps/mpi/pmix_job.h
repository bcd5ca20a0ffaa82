// What a PMIx server is told of a step, so that every task can ask it: sizes, who is where,
// directories. As Slurm 24.11 tells it (src/plugins/mpi/pmix/pmixp_client.c).
#pragma once

#include <pmix.h>
#include <pmix_server.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "pod/steps/messages.h"

namespace holdfast::pod {

// A step as its PMIx servers see it.
struct PmixJob {
  std::string name;  // the PMIx namespace
  DaemonOrder order;
  std::vector<std::string> hosts;
  std::vector<std::vector<uint32_t>> tasks_of_nodes;
  std::vector<uint32_t> node_of_task;
  std::string directory;  // this node's, for what the server and the tasks keep there
};

Result<PmixJob> ReadPmixJob(DaemonOrder order);
pmix_proc_t ProcessOf(const PmixJob& job, uint32_t task);

// What a function of the library returned.
Status CheckPmix(pmix_status_t status, const char* what);

// Registers the step and its tasks on this node; waits until the library has it.
Status RegisterPmixJob(const PmixJob& job);

}  // namespace holdfast::pod
