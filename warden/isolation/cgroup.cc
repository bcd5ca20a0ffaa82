#include "warden/isolation/cgroup.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <sstream>

#include "base/files.h"

namespace holdfast::warden {
namespace {

// The parts of a line of mountinfo (proc_pid_mountinfo(5)) that matter here.
struct Mount {
  std::string root;
  std::string mount_point;
  std::string type;
  std::string options;  // of the superblock
};

Mount ParseMount(const std::string& line) {
  std::istringstream words(line);
  Mount mount;
  std::string word;
  words >> word >> word >> word >> mount.root >> mount.mount_point;
  while (words >> word && word != "-") {
  }
  words >> mount.type >> word >> mount.options;
  return mount;
}

// Whether every item of the comma-separated list `items` is in the list `list`.
bool Includes(const std::string& list, const std::string& items) {
  std::istringstream words(items);
  for (std::string word; std::getline(words, word, ',');)
    if (!("," + list + ",").contains("," + word + ",")) return false;
  return true;
}

bool IsHierarchyOf(const Mount& mount, const CgroupMembership& membership) {
  if (membership.controllers.empty()) return mount.type == "cgroup2";
  return mount.type == "cgroup" && Includes(mount.options, membership.controllers);
}

// `path` below `root`, or nothing if it is not below.
std::optional<std::string> RelativeTo(const std::string& root, const std::string& path) {
  if (root == "/") return path;
  if (path == root) return "";
  if (path.starts_with(root + "/")) return path.substr(root.size());
  return std::nullopt;
}

Result<std::vector<CgroupMembership>> MembershipsOf(const std::string& pid) {
  HOLDFAST_TRY(const std::string text, ReadFile("/proc/" + pid + "/cgroup"));
  return ParseMemberships(text);
}

}  // namespace

Result<std::vector<CgroupMembership>> ParseMemberships(const std::string& text) {
  std::vector<CgroupMembership> memberships;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos || !line.substr(second + 1).starts_with('/'))
      return Fail(Code::kInternal, fmt::format("not a line of /proc/PID/cgroup: '{}'", line));
    memberships.push_back({.controllers = line.substr(first + 1, second - first - 1),
                           .path = line.substr(second + 1)});
  }
  return memberships;
}

Result<std::string> FindCgroup(const std::string& mountinfo, const CgroupMembership& membership) {
  std::istringstream lines(mountinfo);
  for (std::string line; std::getline(lines, line);) {
    const Mount mount = ParseMount(line);
    if (!IsHierarchyOf(mount, membership)) continue;
    if (const auto relative = RelativeTo(mount.root, membership.path))
      return mount.mount_point + *relative;
  }
  return Fail(Code::kNotFound,
              fmt::format("cgroup {} of hierarchy '{}' is not mounted on this node",
                          membership.path, membership.controllers));
}

Status JoinCgroupsOf(pid_t pid) {
  const auto wrap = [&](Error error) {
    return std::move(error).Wrap(fmt::format("joining the cgroups of process {}", pid));
  };
  const auto join = [&]() -> Status {
    HOLDFAST_TRY(const auto theirs, MembershipsOf(std::to_string(pid)));
    HOLDFAST_TRY(const auto own, MembershipsOf("self"));
    HOLDFAST_TRY(const std::string mountinfo, ReadFile("/proc/self/mountinfo"));
    for (const CgroupMembership& membership : theirs) {
      if (std::ranges::find(own, membership) != own.end()) continue;
      HOLDFAST_TRY(const std::string directory, FindCgroup(mountinfo, membership));
      HOLDFAST_CHECK(WriteFile(directory + "/cgroup.procs", "0"));
    }
    return {};
  };
  return join().transform_error(wrap);
}

}  // namespace holdfast::warden
