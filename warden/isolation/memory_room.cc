#include "warden/isolation/memory_room.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "base/duration.h"
#include "base/files.h"
#include "base/numbers.h"
#include "warden/isolation/cgroup.h"

namespace holdfast::warden {
namespace {

// Names of one version of cgroups; https://docs.kernel.org/admin-guide/cgroup-v1/memory.html and
// https://docs.kernel.org/admin-guide/cgroup-v2.html.
struct Names {
  const char* limit;
  const char* usage;
  // In memory.stat, of this cgroup and those below it.
  const char* inactive_file;
  const char* active_file;
};
constexpr Names kVersions[] = {
    {"/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_inactive_file",
     "total_active_file"},
    {"/memory.max", "/memory.current", "inactive_file", "active_file"},
};

// What "no limit" looks like in version 1 is the largest number of whole pages.
constexpr uint64_t kNoLimit = uint64_t{1} << 62;

Result<uint64_t> ReadNumber(const std::string& path) {
  HOLDFAST_TRY(std::string text, ReadFile(path));
  if (text.ends_with('\n')) text.pop_back();
  if (text == "max") return kNoLimit;
  const auto number = ParseNumber<uint64_t>(text);
  if (!number) return Fail(Code::kInternal, path + ": not a number: " + text);
  return *number;
}

// Of lines with a name and a number, the one of that name.
uint64_t CountIn(const std::string& text, std::string_view wanted) {
  std::istringstream words(text);
  uint64_t value = 0;
  for (std::string name; words >> name >> value;)
    if (name == wanted) return value;
  return 0;
}

Result<uint64_t> FileCache(const std::string& directory, const Names& names) {
  HOLDFAST_TRY(const std::string text, ReadFile(directory + "/memory.stat"));
  return CountIn(text, names.inactive_file) + CountIn(text, names.active_file);
}

// Of one cgroup. Nothing: it has no limit.
Result<std::optional<uint64_t>> RoomBelowLimit(const std::string& directory, const Names& names) {
  HOLDFAST_TRY(const uint64_t limit, ReadNumber(directory + names.limit));
  if (limit >= kNoLimit) return std::nullopt;
  HOLDFAST_TRY(const uint64_t usage, ReadNumber(directory + names.usage));
  HOLDFAST_TRY(const uint64_t cache, FileCache(directory, names));
  const uint64_t held = usage - std::min(usage, cache);
  return limit - std::min(limit, held);
}

bool HasController(const std::string& directory, const Names& names) {
  return ReadFile(directory + names.limit).has_value();
}

}  // namespace

Result<std::optional<uint64_t>> MemoryRoomIn(std::string directory) {
  while (directory.ends_with('/')) directory.pop_back();
  std::optional<uint64_t> least;
  for (const Names& names : kVersions) {
    // The root of version 2 has no limit, nor has what is above a hierarchy's mount.
    for (std::string at = directory; !at.empty() && HasController(at, names);
         at.resize(at.find_last_of('/'))) {
      HOLDFAST_TRY(const auto room, RoomBelowLimit(at, names));
      if (room) least = std::min(*room, least.value_or(*room));
    }
  }
  return least;
}

namespace {

// Of the calling process, in each hierarchy that may have the memory controller.
Result<std::vector<std::string>> MemoryCgroups() {
  HOLDFAST_TRY(const std::string mountinfo, ReadFile("/proc/self/mountinfo"));
  HOLDFAST_TRY(const std::string text, ReadFile("/proc/self/cgroup"));
  HOLDFAST_TRY(const auto memberships, ParseMemberships(text));
  std::vector<std::string> directories;
  for (const CgroupMembership& membership : memberships) {
    if (!membership.controllers.empty() && membership.controllers != "memory") continue;
    // Version 2 may be there for systemd alone, and not mounted here.
    if (auto directory = FindCgroup(mountinfo, membership))
      directories.push_back(*std::move(directory));
  }
  return directories;
}

Result<std::optional<uint64_t>> LeastRoom(const std::vector<std::string>& directories) {
  std::optional<uint64_t> least;
  for (const std::string& directory : directories) {
    HOLDFAST_TRY(const auto room, MemoryRoomIn(directory));
    if (room) least = std::min(*room, least.value_or(*room));
  }
  return least;
}

}  // namespace

Result<std::optional<uint64_t>> MemoryRoom() {
  HOLDFAST_TRY(const auto directories, MemoryCgroups());
  return LeastRoom(directories);
}

Result<uint64_t> OomKills() {
  HOLDFAST_TRY(const auto directories, MemoryCgroups());
  uint64_t kills = 0;
  for (const std::string& directory : directories)
    for (const char* file : {"/memory.oom_control", "/memory.events"}) {
      const auto text = ReadFile(directory + file);
      if (text) kills += CountIn(*text, "oom_kill");
    }
  return kills;
}

Result<std::unique_ptr<MemoryWatch>> MemoryWatch::Start(uint64_t least_bytes) {
  HOLDFAST_TRY(auto directories, MemoryCgroups());
  return std::make_unique<MemoryWatch>(std::move(directories), least_bytes);
}

Status MemoryWatch::Check() {
  constexpr unsigned kLookedAtEvery = 16;
  if (looks_++ % kLookedAtEvery != 0) return {};
  HOLDFAST_TRY(const auto room, LeastRoom(directories_));
  if (!room || *room >= least_bytes_) return {};
  return Fail(Code::kNoSpace,
              fmt::format("the job has no more than {} left of its memory limit on this node, and "
                          "saving it takes more; ask for more with --mem",
                          FormatBytes(*room)));
}

}  // namespace holdfast::warden
