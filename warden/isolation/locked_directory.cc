#include "warden/isolation/locked_directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <vector>

#include "base/files.h"
#include "warden/isolation/removal.h"

namespace holdfast::warden {
namespace {

using Clock = std::chrono::steady_clock;

// Of those that are being removed: under its own name there may be another one soon.
constexpr std::string_view kGoing = ".going";

Result<UniqueFd> OpenDirectory(const std::string& path) {
  return OpenFile(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

bool Lock(const UniqueFd& directory) { return ::flock(directory.get(), LOCK_EX | LOCK_NB) == 0; }

// Held while a directory is made or taken: there is none that is made and not locked yet.
Result<UniqueFd> LockParent(const std::string& parent) {
  HOLDFAST_CHECK(MakeDirectories(parent, 0700));
  HOLDFAST_TRY(UniqueFd lock, OpenDirectory(parent));
  while (::flock(lock.get(), LOCK_EX) != 0)
    if (errno != EINTR) return FailErrno("locking " + parent);
  return lock;
}

bool IsOurs(std::string_view name) {
  if (name.ends_with(kGoing)) name.remove_suffix(kGoing.size());
  return name.contains('-') && name.find_first_not_of("0123456789-") == name.npos;
}

struct Taken {
  std::string path;
  UniqueFd lock;
};

// Those that nobody works in, under names that nobody else uses.
Result<std::vector<Taken>> TakeAbandoned(const std::string& parent) {
  HOLDFAST_TRY(const UniqueFd held, LockParent(parent));
  HOLDFAST_TRY(const auto names, ListDirectory(parent));
  std::vector<Taken> taken;
  for (const std::string& name : names) {
    if (!IsOurs(name)) continue;
    std::string path = parent + "/" + name;
    auto directory = OpenDirectory(path);
    if (!directory || !Lock(*directory)) continue;
    if (!name.ends_with(kGoing)) {
      const std::string going = path + std::string(kGoing);
      if (::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, going.c_str(), RENAME_NOREPLACE) != 0)
        continue;  // the next one finds it: one of this name is still going
      path = going;
    }
    taken.push_back({.path = std::move(path), .lock = *std::move(directory)});
  }
  return taken;
}

}  // namespace

Result<LockedDirectory> LockedDirectory::Create(const std::string& path) {
  HOLDFAST_TRY(const UniqueFd held, LockParent(std::filesystem::path(path).parent_path()));
  HOLDFAST_CHECK(RemoveFilled(path, Clock::time_point::max()));
  HOLDFAST_CHECK(MakeDirectories(path, 0700));
  LockedDirectory directory;
  directory.path_ = path;
  HOLDFAST_TRY(directory.lock_, OpenDirectory(path));
  if (!Lock(directory.lock_)) return FailErrno("locking " + path);
  return directory;
}

LockedDirectory::~LockedDirectory() {
  if (!path_.empty()) [[maybe_unused]]
    const Status removed = Remove(Clock::time_point::max());
}

Status LockedDirectory::Remove(Clock::time_point until) {
  HOLDFAST_CHECK(RemoveFilled(path_, until));
  path_.clear();
  return {};
}

Status RemoveAbandoned(const std::string& parent, Clock::time_point until) {
  HOLDFAST_TRY(const std::vector<Taken> abandoned, TakeAbandoned(parent));
  for (const Taken& directory : abandoned) HOLDFAST_CHECK(RemoveFilled(directory.path, until));
  return {};
}

}  // namespace holdfast::warden
