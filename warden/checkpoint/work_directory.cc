#include "warden/checkpoint/work_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "base/files.h"

namespace holdfast::warden {
namespace {

Result<UniqueFd> OpenDirectory(const std::string& path) {
  return OpenFile(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

// Held while a directory is made or removed: there is none that is made and not locked yet.
Result<UniqueFd> LockParent(const std::string& parent) {
  HOLDFAST_CHECK(MakeDirectories(parent, 0700));
  HOLDFAST_TRY(UniqueFd lock, OpenDirectory(parent));
  while (::flock(lock.get(), LOCK_EX) != 0)
    if (errno != EINTR) return FailErrno("locking " + parent);
  return lock;
}

}  // namespace

Result<WorkDirectory> WorkDirectory::Create(const std::string& path, const Identity& owner) {
  HOLDFAST_TRY(const UniqueFd parent, LockParent(std::filesystem::path(path).parent_path()));
  HOLDFAST_CHECK(RemoveTree(path));
  const std::string images = path + "/images";
  HOLDFAST_CHECK(MakeDirectories(images, 0700));
  WorkDirectory directory;
  directory.path_ = path;
  HOLDFAST_TRY(directory.lock_, OpenDirectory(path));
  if (::flock(directory.lock_.get(), LOCK_EX | LOCK_NB) != 0) return FailErrno("locking " + path);
  HOLDFAST_TRY(directory.images_, OpenDirectory(images));
  if (::fchown(directory.images_.get(), owner.uid, owner.gid) != 0)
    return FailErrno("giving " + images + " to the job's user");
  return directory;
}

WorkDirectory::~WorkDirectory() {
  if (!path_.empty()) [[maybe_unused]]
    const Status removed = RemoveTree(path_);
}

Status RemoveAbandoned(const std::string& parent) {
  HOLDFAST_TRY(const UniqueFd lock, LockParent(parent));
  HOLDFAST_TRY(const auto names, ListDirectory(parent));
  for (const std::string& name : names) {
    const std::string path = parent + "/" + name;
    const auto directory = OpenDirectory(path);
    if (directory && ::flock(directory->get(), LOCK_EX | LOCK_NB) == 0)
      HOLDFAST_CHECK(RemoveTree(path));
  }
  return {};
}

}  // namespace holdfast::warden
