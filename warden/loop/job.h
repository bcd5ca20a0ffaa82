// What a warden knows about its job and node once it has started; nothing of it changes afterwards.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "config/config.h"
#include "pod/warden_environment.h"
#include "protocol/holdfast.pb.h"
#include "storage/checkpoint.h"
#include "warden/isolation/network.h"

namespace holdfast::warden {

struct Job {
  pod::WardenEnvironment environment;
  config::Config config;
  storage::Keys keys = storage::SiteKey{};  // nobody's, until Configure
  JobOptions options;                       // after defaults
  Underlay underlay;
  int oom_score_adj = 0;                // that Slurm gives its processes
  std::chrono::seconds notice_time{0};  // that the node's cloud gives before it takes it back, or 0
  std::string log_directory;            // of this job on this node, root only
  std::string launch;                   // pod 0: pod/launch.h, serialized
  std::vector<std::string> output_paths;  // pod 0: the job's output files

  uint32_t id() const { return environment.job_id; }
  storage::JobName name() const {
    return storage::NameOfJob(environment.cluster, environment.job_id, environment.submitted);
  }
  uint32_t pod() const { return environment.pod; }
  const Identity& owner() const { return environment.owner; }
  // Where logs of one checkpoint of this pod go.
  std::string CheckpointLogs(uint32_t checkpoint) const {
    return log_directory + "/" + std::to_string(checkpoint) + "/pod" + std::to_string(pod());
  }
  // Of all jobs on this node, while they are being restored.
  std::string WorkDirectories() const { return config.node.log_directory + "/restoring"; }
};

}  // namespace holdfast::warden
