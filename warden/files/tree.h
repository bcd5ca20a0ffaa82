// What storing files (capture.h) and putting them back (rollback.h) have in common: the table, and
// the walk through a declared directory. Thread-safe; with the calling thread's identity.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"
#include "warden_images/rollback.pb.h"

namespace holdfast::warden {

inline constexpr uint32_t kFilesTableVersion = 1;

// kCorrupt if it is not a table, or names a path that leads out of where it belongs.
Result<rollback::Table> ParseFilesTable(const std::string& bytes);
// Where the file is, as the pods see it.
std::string PathOf(const rollback::Table& table, const rollback::File& file);
// The stream that has its contents.
std::string StreamOf(const rollback::Table& table, const rollback::File& file);

struct FileId {
  dev_t device = 0;
  ino_t inode = 0;
  auto operator<=>(const FileId&) const = default;
};
FileId IdOf(const struct stat& info);

// Nothing for an empty path, or one that leads to no directory in the pod.
std::optional<FileId> IdOfDirectory(const UniqueFd& root, const std::string& path);

struct FoundFile {
  const UniqueFd& parent;
  const std::string& name;  // in it
  const std::string& path;  // below the directory
  const struct stat& info;
};

// Calls `visit` for every regular file below the directory, on its filesystem; what can no longer
// be found or not be entered is passed over, as are set-aside directories and `excluded`.
Status WalkTree(const UniqueFd& directory, const std::optional<FileId>& excluded,
                const std::function<Status(const FoundFile&)>& visit);

}  // namespace holdfast::warden
