#include "warden/checkpoint/work_directory.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/files.h"

namespace holdfast::warden {

Result<WorkDirectory> WorkDirectory::Create(const std::string& path, const Identity& owner) {
  HOLDFAST_TRY(LockedDirectory locked, LockedDirectory::Create(path));
  WorkDirectory directory(std::move(locked));
  const std::string images = path + "/images";
  HOLDFAST_CHECK(MakeDirectories(images, 0700));
  HOLDFAST_TRY(directory.images_, OpenFile(images, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (::fchown(directory.images_.get(), owner.uid, owner.gid) != 0)
    return FailErrno("giving " + images + " to the job's user");
  return directory;
}

}  // namespace holdfast::warden
