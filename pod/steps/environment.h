// Environments as lists of NAME=value, and what Slurm adds for the tasks of a step.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pod/steps/messages.h"

namespace holdfast::pod {

std::optional<std::string_view> Variable(const std::vector<std::string>& environment,
                                         std::string_view name);
void SetVariable(std::vector<std::string>& environment, std::string_view name,
                 std::string_view value);

// What --export leaves of the environment: "ALL", "NONE", "NIL", or names and NAME=value, perhaps
// after ALL. Slurm's own variables always stay.
std::vector<std::string> Export(const std::vector<std::string>& environment, std::string_view what);

// How a step looks to its tasks, the same for all of them.
struct StepFacts {
  uint32_t job = 0;
  StepGrant grant;
  Distribution distribution = Distribution::kUnset;
  uint32_t plane_size = 0;
  uint32_t cpus_per_task = 0;  // 0: not asked for
  uint32_t threads_per_core = 0;
  std::string mpi;   // --mpi, if it was given
  std::string name;  // --job-name, if it was given
  bool labels = false, overcommit = false;
  std::string srun_address;  // where srun runs, on the job's network
  mode_t umask = 022;
  int verbosity = 0;        // below 0: --quiet
  bool exports_all = true;  // the environment is the user's, and not a part of it
};
void AddStepVariables(std::vector<std::string>& environment, const StepFacts& facts);

// What differs by node and task. `masks`: "0x1,0x2", of the node's tasks.
std::vector<std::string> TaskEnvironment(const DaemonOrder& order, size_t task_of_node,
                                         const std::string& masks);

}  // namespace holdfast::pod
