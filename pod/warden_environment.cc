#include "pod/warden_environment.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "base/numbers.h"
#include "storage/urls/job_name.h"

namespace holdfast::pod {
namespace {

constexpr std::string_view kPrefix = "HOLDFAST_";

// The variable's value, or nothing. The environment is small: a search each time is as good as a
// table.
std::optional<std::string_view> Find(const char* const* environment, std::string_view name) {
  for (; *environment != nullptr; ++environment) {
    std::string_view entry = *environment;
    if (!entry.starts_with(kPrefix)) continue;
    entry.remove_prefix(kPrefix.size());
    if (entry.starts_with(name) && entry.substr(name.size()).starts_with('='))
      return entry.substr(name.size() + 1);
  }
  return std::nullopt;
}

Error Bad(std::string_view name, std::string_view what) {
  return Error(Code::kInvalid, "the warden's environment: " + std::string(kPrefix) +
                                   std::string(name) + " " + std::string(what));
}

Result<std::string> Text(const char* const* environment, std::string_view name) {
  const auto text = Find(environment, name);
  if (!text || text->empty()) return std::unexpected(Bad(name, "is missing"));
  return std::string(*text);
}

template <typename T>
Result<T> Number(const char* const* environment, std::string_view name) {
  const auto text = Find(environment, name);
  if (!text) return std::unexpected(Bad(name, "is missing"));
  const auto number = ParseNumber<T>(*text);
  if (!number) return std::unexpected(Bad(name, "is not a number: " + std::string(*text)));
  return *number;
}

Result<std::vector<gid_t>> Groups(const char* const* environment) {
  constexpr std::string_view kName = "GROUPS";
  const auto text = Find(environment, kName);
  if (!text) return std::unexpected(Bad(kName, "is missing"));
  std::vector<gid_t> groups;
  for (std::string_view rest = *text; !rest.empty();) {
    const std::string_view item = rest.substr(0, rest.find(','));
    const auto group = ParseNumber<gid_t>(item);
    if (!group) return std::unexpected(Bad(kName, "is not a list of numbers"));
    groups.push_back(*group);
    rest.remove_prefix(std::min(item.size() + 1, rest.size()));
  }
  return groups;
}

}  // namespace

std::vector<std::string> ToStrings(const WardenEnvironment& environment) {
  std::vector<std::string> strings;
  const auto add = [&](std::string_view name, const std::string& value) {
    strings.push_back(std::string(kPrefix) + std::string(name) + "=" + value);
  };
  std::string groups;
  for (const gid_t group : environment.owner.groups)
    groups += (groups.empty() ? "" : ",") + std::to_string(group);
  add("JOB_ID", std::to_string(environment.job_id));
  add("RESTART_COUNT", std::to_string(environment.restart_count));
  add("POD", std::to_string(environment.pod));
  add("PODS", std::to_string(environment.pods));
  add("SLOT", std::to_string(environment.slot));
  add("SLOTS", std::to_string(environment.slots));
  add("NODE", environment.node);
  add("UID", std::to_string(environment.owner.uid));
  add("GID", std::to_string(environment.owner.gid));
  add("GROUPS", groups);
  add("WARNING", std::to_string(environment.warning_seconds));
  add("CLUSTER", environment.cluster);
  add("SUBMITTED", environment.submitted);
  add("CONFIG", environment.config_path);
  add("OPTIONS", EncodeOptions(environment.options));
  add("TASK_PID", std::to_string(environment.task_pid));
  add("EXEC_FD", std::to_string(environment.exec_fd));
  add("WARDEN_FD", std::to_string(environment.link_fd));
  return strings;
}

std::vector<std::string> SiteVariables() {
  std::vector<std::string> strings;
  for (const char* name : {"GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST", "https_proxy",
                           "HTTPS_PROXY", "no_proxy", "NO_PROXY"})
    if (const char* value = ::getenv(name)) strings.push_back(std::string(name) + "=" + value);
  return strings;
}

Result<WardenEnvironment> ParseWardenEnvironment(const char* const* environment) {
  WardenEnvironment parsed;
  HOLDFAST_TRY(parsed.job_id, Number<uint32_t>(environment, "JOB_ID"));
  HOLDFAST_TRY(parsed.restart_count, Number<uint32_t>(environment, "RESTART_COUNT"));
  HOLDFAST_TRY(parsed.pod, Number<uint32_t>(environment, "POD"));
  HOLDFAST_TRY(parsed.pods, Number<uint32_t>(environment, "PODS"));
  if (parsed.pod >= parsed.pods) return std::unexpected(Bad("POD", "is not below HOLDFAST_PODS"));
  HOLDFAST_TRY(parsed.slot, Number<uint32_t>(environment, "SLOT"));
  HOLDFAST_TRY(parsed.slots, Number<uint32_t>(environment, "SLOTS"));
  if (parsed.slot >= parsed.slots)
    return std::unexpected(Bad("SLOT", "is not below HOLDFAST_SLOTS"));
  HOLDFAST_TRY(parsed.node, Text(environment, "NODE"));
  HOLDFAST_TRY(parsed.owner.uid, Number<uid_t>(environment, "UID"));
  HOLDFAST_TRY(parsed.owner.gid, Number<gid_t>(environment, "GID"));
  HOLDFAST_TRY(parsed.owner.groups, Groups(environment));
  HOLDFAST_TRY(parsed.warning_seconds, Number<uint32_t>(environment, "WARNING"));
  HOLDFAST_TRY(parsed.cluster, Text(environment, "CLUSTER"));
  const auto submitted = Find(environment, "SUBMITTED");
  if (!submitted) return std::unexpected(Bad("SUBMITTED", "is missing"));
  parsed.submitted = *submitted;
  if (!parsed.submitted.empty() && !storage::IsSubmissionTime(parsed.submitted))
    return std::unexpected(Bad("SUBMITTED", "is not a time of submission: " + parsed.submitted));
  HOLDFAST_TRY(parsed.config_path, Text(environment, "CONFIG"));
  HOLDFAST_TRY(const std::string options, Text(environment, "OPTIONS"));
  HOLDFAST_TRY(parsed.options, DecodeOptions(options));
  HOLDFAST_TRY(parsed.task_pid, Number<pid_t>(environment, "TASK_PID"));
  HOLDFAST_TRY(parsed.exec_fd, Number<int>(environment, "EXEC_FD"));
  HOLDFAST_TRY(parsed.link_fd, Number<int>(environment, "WARDEN_FD"));
  return parsed;
}

}  // namespace holdfast::pod
