// Files: whole reads and writes, durable replacement, and paths that cannot be redirected.
// Every function uses the calling thread's identity (base/identity.h) and reports the path it
// failed on.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast {

// open(2), always close-on-exec.
Result<UniqueFd> OpenFile(const std::string& path, int flags, mode_t mode = 0600);
// openat(2) below a directory that the caller holds; the last component is never followed.
Result<UniqueFd> OpenAt(const UniqueFd& directory, const std::string& name, int flags,
                        mode_t mode = 0600);

Result<std::string> ReadFile(const std::string& path);
Result<std::string> ReadAll(const UniqueFd& fd);
// With these contents, of no disk, read from its beginning.
Result<UniqueFd> FileInMemory(std::string_view contents);
// Creates or truncates.
Status WriteFile(const std::string& path, std::string_view contents, mode_t mode = 0600);
// Creates or replaces so that a crash leaves the old contents or the new, never a part: temporary
// file in the same directory, fsync, rename, fsync of the directory.
Status ReplaceFile(const std::string& path, std::string_view contents, mode_t mode = 0600);

// All bytes or an error; short transfers are continued. ReadFull fails with kCorrupt at end of
// file.
Status WriteFull(const UniqueFd& fd, std::span<const std::byte> data);
Status WriteFullAt(const UniqueFd& fd, std::span<const std::byte> data, uint64_t offset);
Status ReadFull(const UniqueFd& fd, std::span<std::byte> data);
Status ReadFullAt(const UniqueFd& fd, std::span<std::byte> data, uint64_t offset);

// mkdir -p.
Status MakeDirectories(const std::string& path, mode_t mode = 0755);
// fsync of the directory: without it a new name in it may be lost in a crash.
Status SyncDirectory(const std::string& path);
// rm -r, never following symbolic links out of the tree. Success if it does not exist.
Status RemoveTree(const std::string& path);
// Names in the directory but . and .., sorted.
Result<std::vector<std::string>> ListDirectory(const std::string& path);
// Where a symbolic link points.
Result<std::string> ReadLink(const std::string& path);
bool FileExists(const std::string& path);

// A file's time, in nanoseconds since the epoch.
int64_t ToNanoseconds(const timespec& time);
timespec ToTimespec(int64_t nanoseconds);

inline std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace holdfast
