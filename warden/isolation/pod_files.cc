#include "warden/isolation/pod_files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/files.h"

namespace holdfast::warden {
namespace {

Result<UniqueFd> OpenResolved(const UniqueFd& directory, const std::string& path, int flags,
                              uint64_t resolve) {
  open_how how = {};
  how.flags = static_cast<uint64_t>(flags) | O_CLOEXEC;
  how.resolve = resolve;
  UniqueFd fd(
      static_cast<int>(::syscall(SYS_openat2, directory.get(), path.c_str(), &how, sizeof how)));
  if (!fd.valid()) return FailErrno("opening " + path + " in the pod");
  return fd;
}

}  // namespace

Result<UniqueFd> OpenPodRoot(const Pod& pod) {
  return OpenFile(pod.root_path(), O_PATH | O_DIRECTORY);
}

Result<UniqueFd> OpenInPod(const UniqueFd& pod_root, const std::string& path, int flags) {
  return OpenResolved(pod_root, path, flags, RESOLVE_IN_ROOT);
}

Result<UniqueFd> OpenDirectlyInPod(const UniqueFd& pod_root, const std::string& path, int flags) {
  return OpenResolved(pod_root, path, flags | O_NOFOLLOW, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
}

Result<UniqueFd> OpenBeneath(const UniqueFd& directory, const std::string& path, int flags) {
  return OpenResolved(directory, path, flags | O_NOFOLLOW,
                      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

}  // namespace holdfast::warden
