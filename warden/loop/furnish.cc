#include "warden/loop/furnish.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/files.h"
#include "warden/isolation/pod_files.h"

namespace holdfast::warden {
namespace {

Status WriteBelow(const UniqueFd& directory, const std::string& name, std::string_view contents,
                  mode_t mode) {
  HOLDFAST_TRY(UniqueFd file, OpenAt(directory, name, O_WRONLY | O_CREAT | O_EXCL, mode));
  HOLDFAST_CHECK(WriteFull(file, AsBytes(contents)));
  // Whatever the umask is.
  if (::fchmod(file.get(), mode) != 0) return FailErrno("fchmod " + name);
  return file.Close();
}

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

Status FurnishPod(const Pod& pod, const Furniture& furniture) {
  const auto furnish = [&]() -> Status {
    HOLDFAST_TRY(const UniqueFd root, OpenPodRoot(pod));
    HOLDFAST_TRY(const UniqueFd directory, OpenInPod(root, kPodDirectory, O_RDONLY | O_DIRECTORY));
    constexpr const char* kPaths[] = {pod::kPodRootPath, pod::kRshPath, pod::kSrunPath,
                                      pod::kPmixPath};
    std::string programs[std::size(kPaths)];
    for (size_t i = 0; i < std::size(kPaths); ++i) {
      HOLDFAST_TRY(programs[i], ReadFile(furniture.program_directory + "/" + NameOf(kPaths[i])));
    }

    const ScopedIdentity as_owner(pod.options().owner);
    for (size_t i = 0; i < std::size(kPaths); ++i)
      HOLDFAST_CHECK(WriteBelow(directory, NameOf(kPaths[i]), programs[i], 0500));
    HOLDFAST_CHECK(
        WriteBelow(directory, NameOf(pod::kPeersPath), pod::SerializePeers(furniture.peers), 0400));
    if (furniture.launch.empty()) return {};
    return WriteBelow(directory, NameOf(pod::kLaunchPath), furniture.launch, 0400);
  };
  return furnish().transform_error(
      [](Error error) { return std::move(error).Wrap("filling the pod's directory"); });
}

}  // namespace holdfast::warden
