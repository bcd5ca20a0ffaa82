#include "warden/isolation/private_directories.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "base/files.h"

namespace holdfast::warden {
namespace {

// A pod needs these as they are.
constexpr const char* kReserved[] = {"/dev", "/proc", "/sys", kPodDirectory};

bool Overlap(const std::string& a, const std::string& b) {
  const auto with_slash = [](const std::string& path) { return path == "/" ? path : path + "/"; };
  return with_slash(a).starts_with(with_slash(b)) || with_slash(b).starts_with(with_slash(a));
}

// The directory without symbolic links in its path, if nobody but root can put one there.
Result<std::string> Resolve(const std::string& path) {
  std::error_code error;
  const std::filesystem::path resolved = std::filesystem::canonical(path, error);
  if (error) return std::unexpected(Error::FromErrno(path, error.value()));
  for (std::filesystem::path at = resolved;; at = at.parent_path()) {
    struct stat info = {};
    if (::lstat(at.c_str(), &info) != 0) return FailErrno("looking at " + at.string());
    if (!S_ISDIR(info.st_mode)) return Fail(Code::kInvalid, path + " is no directory");
    // In a sticky directory others can make, but not replace.
    const bool open = (info.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (info.st_mode & S_ISVTX) == 0;
    if (info.st_uid != 0 || (open && at != resolved))
      return Fail(Code::kDenied,
                  path + ": " + at.string() +
                      " must belong to root, and nobody else may write there, or only "
                      "with the sticky bit");
    if (at == at.root_path()) return resolved.string();
  }
}

Result<std::string> ResolvePlace(const std::string& place) {
  HOLDFAST_CHECK(MakeDirectories(place, 0700));
  HOLDFAST_TRY(std::string resolved, Resolve(place));
  struct stat info = {};
  if (::stat(resolved.c_str(), &info) != 0) return FailErrno("looking at " + resolved);
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return Fail(Code::kDenied, place + " may be written by others than root");
  return resolved;
}

Result<std::vector<std::string>> ResolvePaths(const std::vector<std::string>& paths) {
  std::vector<std::string> resolved;
  for (const std::string& path : paths) {
    HOLDFAST_TRY(std::string real, Resolve(path));
    for (const char* reserved : kReserved)
      if (Overlap(real, reserved))
        return Fail(Code::kInvalid, path + ": a pod needs " + reserved + " as it is");
    if (std::ranges::contains(resolved, real)) continue;  // /var/tmp may be a link to /tmp
    for (const std::string& other : resolved)
      if (Overlap(real, other))
        return Fail(Code::kInvalid, "of " + real + " and " + other + ", one lies in the other");
    resolved.push_back(std::move(real));
  }
  return resolved;
}

}  // namespace

Result<PrivateDirectories> PrivateDirectories::Create(const std::string& place,
                                                      const std::string& name,
                                                      const std::vector<std::string>& paths) {
  PrivateDirectories directories;
  if (paths.empty()) return directories;
  const auto of = [](const char* setting) {
    return [setting](Error error) { return std::move(error).Wrap(setting); };
  };
  HOLDFAST_TRY(const auto resolved,
               ResolvePaths(paths).transform_error(of("node.private_directories")));
  HOLDFAST_TRY(const std::string parent,
               ResolvePlace(place).transform_error(of("node.private_place")));
  HOLDFAST_TRY(
      auto directory,
      LockedDirectory::Create(parent + "/" + name).transform_error(of("node.private_place")));
  directories.directory_.emplace(std::move(directory));
  for (const std::string& path : resolved) {
    const std::string own =
        directories.directory_->path() + "/" + std::to_string(directories.list_.size());
    if (::mkdir(own.c_str(), 0700) != 0 || ::chmod(own.c_str(), 01777) != 0)
      return FailErrno("making " + own);
    directories.list_.push_back({.path = path, .place = own});
  }
  return directories;
}

Status PrivateDirectories::RemoveAbandoned(const std::string& place,
                                           std::chrono::steady_clock::time_point until) {
  if (!FileExists(place)) return {};
  HOLDFAST_TRY(const std::string parent, ResolvePlace(place));
  return warden::RemoveAbandoned(parent, until);
}

Status PrivateDirectories::Remove(std::chrono::steady_clock::time_point until) {
  if (!directory_) return {};
  HOLDFAST_CHECK(directory_->Remove(until));
  directory_.reset();
  return {};
}

}  // namespace holdfast::warden
