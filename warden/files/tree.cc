#include "warden/files/tree.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/files.h"
#include "warden/files/capture.h"
#include "warden/isolation/pod_files.h"

namespace holdfast::warden {
namespace {

bool IsSafe(const std::string& path, bool absolute) {
  return !path.empty() && (path.front() == '/') == absolute && path.back() != '/' &&
         ("/" + path + "/").find("/../") == path.npos && path.find('\0') == path.npos;
}

bool PassedOver(const Error& error) {
  return error.errno_value() == ENOENT || error.errno_value() == ENOTDIR ||
         error.errno_value() == EACCES || error.errno_value() == ELOOP ||
         error.errno_value() == EXDEV;
}

}  // namespace

Result<rollback::Table> ParseFilesTable(const std::string& bytes) {
  rollback::Table table;
  if (!table.ParseFromString(bytes) || table.version() != kFilesTableVersion)
    return Fail(Code::kCorrupt, "the table of files cannot be read");
  for (const rollback::File& file : table.files())
    if (file.root() > static_cast<uint32_t>(table.roots_size()) ||
        !IsSafe(file.path(), file.root() == 0))
      return Fail(Code::kCorrupt, "the table of files names a path outside");
  return table;
}

std::string PathOf(const rollback::Table& table, const rollback::File& file) {
  if (file.root() == 0) return file.path();
  return table.roots(static_cast<int>(file.root()) - 1).path() + "/" + file.path();
}

std::string StreamOf(const rollback::Table& table, const rollback::File& file) {
  return "file:" + PathOf(table, file);
}

FileId IdOf(const struct stat& info) { return {info.st_dev, info.st_ino}; }

std::optional<FileId> IdOfDirectory(const UniqueFd& root, const std::string& path) {
  struct stat info = {};
  if (path.empty()) return std::nullopt;
  const auto directory = OpenInPod(root, path, O_PATH | O_DIRECTORY);
  if (!directory || ::fstat(directory->get(), &info) != 0) return std::nullopt;
  return IdOf(info);
}

Status WalkTree(const UniqueFd& directory, const std::optional<FileId>& excluded,
                const std::function<Status(const FoundFile&)>& visit) {
  std::vector<std::string> pending = {""};
  while (!pending.empty()) {
    const std::string path = std::move(pending.back());
    pending.pop_back();
    const auto open = OpenBeneath(directory, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY);
    if (!open && !path.empty() && PassedOver(open.error())) continue;
    if (!open) return std::unexpected(open.error());
    HOLDFAST_TRY(const auto names, ListDirectory("/proc/self/fd/" + std::to_string(open->get())));
    for (const std::string& name : names) {
      struct stat info = {};
      if (::fstatat(open->get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) continue;
        return FailErrno("looking at " + path + "/" + name);
      }
      const std::string below = path.empty() ? name : path + "/" + name;
      if (S_ISDIR(info.st_mode)) {
        if (!name.starts_with(kSetAsidePrefix) && IdOf(info) != excluded) pending.push_back(below);
      } else if (S_ISREG(info.st_mode)) {
        HOLDFAST_CHECK(visit({.parent = *open, .name = name, .path = below, .info = info}));
      }
    }
  }
  return {};
}

}  // namespace holdfast::warden
