#include "warden/files/gone_names.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/files.h"
#include "base/identity.h"
#include "base/numbers.h"
#include "warden/files/open_links.h"
#include "warden/files/tree.h"
#include "warden/isolation/pod_files.h"

namespace holdfast::warden {
namespace {

// What a file server's client calls a file that was removed while it is open; goes with its last
// descriptor (fs/nfs/unlink.c of Linux).
constexpr std::string_view kSillyPrefix = ".nfs";
// The same of FUSE (hide_node in lib/fuse.c of libfuse).
constexpr std::string_view kHiddenPrefix = ".fuse_hidden";

// What processes have open or mapped under each of the paths.
Result<std::map<std::string, std::vector<UniqueFd>>> OpenAll(const Pod& pod,
                                                             const std::set<std::string>& paths) {
  std::map<std::string, std::vector<UniqueFd>> found;
  HOLDFAST_TRY(const auto processes, ListDirectory(pod.proc_path()));
  for (const std::string& pid : processes) {
    if (!ParseNumber<pid_t>(pid) || pid == "1") continue;
    for (const std::string& link : LinksOf(pod.proc_path() + "/" + pid)) {
      std::string path = ReadLink(link).value_or("");
      if (path.ends_with(kDeleted)) path.resize(path.size() - kDeleted.size());
      if (!paths.contains(path)) continue;
      HOLDFAST_TRY(found[path].emplace_back(), OpenFile(link, O_PATH));
    }
  }
  return found;
}

// Nothing if they are not all the same file.
std::optional<FileId> OnlyFile(const std::vector<UniqueFd>& open) {
  std::set<FileId> files;
  for (const UniqueFd& fd : open) {
    struct stat info = {};
    if (::fstat(fd.get(), &info) != 0) return std::nullopt;
    files.insert(IdOf(info));
  }
  if (files.size() != 1) return std::nullopt;
  return *files.begin();
}

// A path of the file in the directory of `path`.
std::optional<std::string> FindIn(const UniqueFd& root, const std::string& path,
                                  const FileId& file) {
  const std::string directory = path.substr(0, path.rfind('/'));
  const auto parent = OpenDirectlyInPod(root, directory + "/", O_RDONLY | O_DIRECTORY);
  if (!parent) return std::nullopt;
  const auto names = ListDirectory("/proc/self/fd/" + std::to_string(parent->get()));
  if (!names) return std::nullopt;
  for (const std::string& name : *names) {
    struct stat info = {};
    if (!name.starts_with(kSillyPrefix) && !name.starts_with(kHiddenPrefix) &&
        ::fstatat(parent->get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
        IdOf(info) == file)
      return directory + "/" + name;
  }
  return std::nullopt;
}

}  // namespace

Status UseOtherNames(const Pod& pod, FileImages& images) {
  std::map<uint32_t, uint32_t> linked;  // files, and those that stand for the made names
  for (const auto& remap : images.remaps)
    if (remap.remap_type() == kRemapLinked) linked.emplace(remap.orig_id(), remap.remap_id());
  if (linked.empty()) return {};
  std::set<std::string> gone;
  std::set<uint32_t> made;
  for (const image::file_entry& file : images.files)
    if (file.has_reg() && linked.contains(file.id())) gone.insert(file.reg().name());
  for (const auto& [file, name] : linked) made.insert(name);

  HOLDFAST_TRY(const auto open, OpenAll(pod, gone));
  HOLDFAST_TRY(const UniqueFd root, OpenPodRoot(pod));
  const ScopedIdentity as_owner(pod.options().owner);
  std::map<std::string, std::string> names;
  for (const std::string& path : gone) {
    const auto files = open.find(path);
    const auto file = files == open.end() ? std::nullopt : OnlyFile(files->second);
    const auto name = file ? FindIn(root, path, *file) : std::nullopt;
    if (!name)
      return Fail(Code::kUnsupported,
                  "the job has " + path +
                      " open, which has been removed, and the file's other name is not in the "
                      "same directory, where it could be opened by: give it one there, or save "
                      "when it is closed");
    names.emplace(path, *name);
  }
  for (image::file_entry& file : images.files)
    if (file.has_reg() && linked.contains(file.id()))
      file.mutable_reg()->set_name(names.at(file.reg().name()));
  std::erase_if(images.files, [&](const auto& file) { return made.contains(file.id()); });
  std::erase_if(images.remaps,
                [](const auto& remap) { return remap.remap_type() == kRemapLinked; });
  return {};
}

Status RemoveGhosts(const Pod& pod, const FileImages& images) {
  std::map<uint32_t, std::string> paths;
  for (const image::file_entry& file : images.files)
    if (file.has_reg()) paths.emplace(file.id(), file.reg().name());
  HOLDFAST_TRY(const UniqueFd root, OpenPodRoot(pod));
  const ScopedIdentity as_owner(pod.options().owner);
  for (const auto& remap : images.remaps) {
    const auto path = paths.find(remap.orig_id());
    if (remap.remap_type() != kRemapGhost || path == paths.end()) continue;
    const size_t slash = path->second.rfind('/');
    if (slash == std::string::npos) continue;
    const auto parent =
        OpenDirectlyInPod(root, path->second.substr(0, slash) + "/", O_PATH | O_DIRECTORY);
    if (!parent) continue;  // CRIU looks for another place
    // ghost_path in criu/files-reg.c of CRIU 4.2.
    const std::string name =
        fmt::format("{}.cr.{:x}.ghost", path->second.substr(slash + 1), remap.remap_id());
    if (::unlinkat(parent->get(), name.c_str(), 0) != 0 && errno != ENOENT)
      return FailErrno("removing " + name + ", which a restore has left beside " + path->second);
  }
  return {};
}

}  // namespace holdfast::warden
