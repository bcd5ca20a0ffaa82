// The batch step of a checkpointed job: starts the pod step, hands it the script, and ends as the
// script ends. Single-threaded; runs as the user.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "pod/launch.h"

namespace holdfast::pod {

// The command line and environment of the srun that starts one task on each node of the job.
// `socket_name`: the abstract socket where the task of pod 0 finds the supervisor.
Result<SpawnOptions> PodStepCommand(const std::vector<std::string>& environment,
                                    const std::string& program, const std::string& socket_name,
                                    std::optional<uint32_t> pods = {});

// Runs the job to its end and says how the script ended. An error is a reason why it could not be
// run, for the job's stderr.
Result<ExitStatus> Supervise(std::vector<std::string> script_argv);

}  // namespace holdfast::pod
