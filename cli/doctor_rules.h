// What `doctor` concludes from what it read: pure functions of text, so that every verdict has a
// test.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/doctor.h"

namespace holdfast::cli {

// The first "N.N" or "N.N.N" in a text, as N * 1000000 + N * 1000 + N.
struct Version {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned patch = 0;
  auto operator<=>(const Version&) const = default;
  std::string ToString() const;
};
std::optional<Version> FindVersion(std::string_view text);

Check JudgeKernel(std::string_view release);
// `version_output`: of `criu --version`.
Check JudgeCriuVersion(std::string_view version_output, std::string_view kernel_release);
// `output`: of `criu check`.
Check JudgeCriuCheck(bool succeeded, std::string_view output);

// "Key = value" lines of `scontrol show config`.
using SlurmConfig = std::map<std::string, std::string, std::less<>>;
SlurmConfig ParseSlurmConfig(std::string_view text);
std::vector<Check> JudgeSlurmConfig(const SlurmConfig& config);
// How much time Slurm leaves each partition's jobs when it preempts them: the larger of GraceTime
// and KillWait. `text`: of `scontrol show partition --oneliner`.
Check JudgePartitions(std::string_view text, const SlurmConfig& config);

// The path of holdfast.so in a plugstack.conf, and the files that it includes (patterns).
struct PlugStack {
  std::optional<std::string> plugin;
  std::vector<std::string> includes;
};
PlugStack ParsePlugStack(std::string_view text);
// Slurm loads a SPANK plugin only if both are of the same release, 24.11 say.
// `plugin_version`: the plugin's plugin_version symbol; `slurm`: output of `scontrol --version`.
Check JudgePluginVersion(uint32_t plugin_version, std::string_view slurm);

// How long the saves of running jobs take, and how long Slurm leaves them. `jobs`: the
// coordinator's answer to GET /v1/jobs.
Check JudgeTimes(const nlohmann::json& jobs);

// The coordinator's answer to GET /v1/health.
Check JudgeHealth(const nlohmann::json& health);

// `contents` is empty if it could not be read, as it should be for all but root.
Check JudgeSiteKey(const std::string& path, uid_t owner, unsigned mode,
                   const std::optional<std::string>& contents);
// Who holds UDP `port`, from the lines of /proc/net/udp; job networks' own sockets are the kernel's
// and have inode 0.
Check JudgeVxlanPort(uint16_t port, std::string_view proc_net_udp, unsigned first_unprivileged);

}  // namespace holdfast::cli
