#include "warden/files/lent_names.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/files.h"
#include "base/numbers.h"
#include "warden/files/open_links.h"
#include "warden/files/scratch.h"
#include "warden/isolation/pod_files.h"

namespace holdfast::warden {
namespace {

struct Split {
  std::string directory, name;
};

Split SplitPath(const std::string& path) {
  const size_t slash = path.rfind('/');
  return {.directory = path.substr(0, slash), .name = path.substr(slash + 1)};
}

}  // namespace

Result<LentNames> LentNames::Lend(const Pod& pod) {
  HOLDFAST_TRY(UniqueFd root, OpenPodRoot(pod));
  LentNames names(std::move(root));
  HOLDFAST_TRY(const auto processes, ListDirectory(pod.proc_path()));
  for (const std::string& pid : processes) {
    if (!ParseNumber<pid_t>(pid) || pid == "1") continue;
    for (const std::string& link : LinksOf(pod.proc_path() + "/" + pid))
      HOLDFAST_CHECK(names.LendOne(pod, link));
  }
  return names;
}

Status LentNames::LendOne(const Pod& pod, const std::string& link) {
  const std::string path = ReadLink(link).value_or("");
  if (!path.ends_with(kDeleted) || !IsScratch(pod.options(), path) || saved_as_.contains(path))
    return {};
  struct stat info = {};
  if (::stat(link.c_str(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_nlink == 0 ||
      info.st_uid != pod.options().owner.uid)
    return {};
  const auto [directory, name] = SplitPath(path);
  const auto parent = OpenDirectlyInPod(root_, directory, O_PATH | O_DIRECTORY);
  if (!parent) return {};  // gone too: CRIU says so
  if (::linkat(AT_FDCWD, link.c_str(), parent->get(), name.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    if (errno == EEXIST || errno == ENOENT || errno == ENAMETOOLONG) return {};
    return FailErrno("giving " + path + " its name back");
  }
  const std::string plain = name.substr(0, name.size() - kDeleted.size());
  const bool is_free = ::faccessat(parent->get(), plain.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0;
  saved_as_.emplace(path, is_free ? directory + "/" + plain : path);
  return {};
}

LentNames::~LentNames() {
  for (const auto& [path, saved] : saved_as_) {
    const auto [directory, name] = SplitPath(path);
    if (const auto parent = OpenDirectlyInPod(root_, directory, O_PATH | O_DIRECTORY))
      ::unlinkat(parent->get(), name.c_str(), 0);
  }
}

}  // namespace holdfast::warden
