#include "warden/files/put_back.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/files.h"
#include "base/parallel.h"
#include "warden/files/tree.h"
#include "warden/isolation/pod_files.h"

namespace holdfast::warden {
namespace {

// Written as a whole if any of it differs.
constexpr size_t kCompareBytes = 16 * 1024;
constexpr int kOpenFlags = O_NONBLOCK | O_NOCTTY;  // whatever it has become, opening it must return

std::pair<std::string, std::string> ParentAndName(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == path.npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

Error Changed(const std::string& path, const std::string& what) {
  return {Code::kChanged, path + " " + what};
}

// A directory that a path of ours goes through; links in it were put there since.
Result<UniqueFd> OpenParent(const UniqueFd& root, const std::string& directory,
                            const std::string& path) {
  // Without O_DIRECTORY, which would call a link "not a directory".
  auto parent = OpenDirectlyInPod(root, directory, O_PATH);
  struct stat info = {};
  const int error = parent ? 0 : parent.error().errno_value();
  if (parent && ::fstat(parent->get(), &info) != 0) return FailErrno("looking at " + directory);
  if (error == ELOOP || (parent && S_ISLNK(info.st_mode)))
    return std::unexpected(
        Changed(path, "is reached through a symbolic link now, which is not followed"));
  if (error == ENOTDIR || (parent && !S_ISDIR(info.st_mode)))
    return std::unexpected(Changed(path, "is not below a directory any more"));
  return parent;
}

// The same, with directories that are missing made.
Result<UniqueFd> MakeParent(const UniqueFd& root, const std::string& directory,
                            const std::string& path) {
  auto parent = OpenParent(root, directory, path);
  if (parent || parent.error().errno_value() != ENOENT) return parent;
  const auto [above, name] = ParentAndName(directory);
  HOLDFAST_TRY(const UniqueFd upper, MakeParent(root, above, path));
  if (::mkdirat(upper.get(), name.c_str(), 0755) != 0 && errno != EEXIST)
    return FailErrno("making the directory of " + path);
  return OpenParent(root, directory, path);
}

bool IsAsRecorded(const struct stat& info, const rollback::File& file) {
  return info.st_ino == file.inode() && static_cast<uint64_t>(info.st_size) == file.size() &&
         ToNanoseconds(info.st_mtim) == file.mtime_ns() &&
         ToNanoseconds(info.st_ctim) == file.ctime_ns();
}

bool IsZero(std::span<const std::byte> data) {
  return std::ranges::all_of(data, [](std::byte byte) { return byte == std::byte{0}; });
}

// What the file has there; how many bytes of it.
Result<size_t> ReadUpTo(const UniqueFd& file, std::span<std::byte> data, uint64_t offset) {
  size_t done = 0;
  while (done < data.size()) {
    const ssize_t n = ::pread(file.get(), data.data() + done, data.size() - done,
                              static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FailErrno("reading");
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

Status Overwrite(const UniqueFd& file, std::span<const std::byte> data, uint64_t offset) {
  if (IsZero(data) && ::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                  static_cast<off_t>(offset), static_cast<off_t>(data.size())) == 0)
    return {};
  return WriteFullAt(file, data, offset);
}

// Makes one piece of the file what the stream says; true if it was not.
Result<bool> PutBackPiece(const UniqueFd& file, storage::PodReader& reader, uint32_t stream,
                          uint64_t offset, size_t size) {
  static thread_local std::vector<std::byte> wanted_buffer(storage::kExtentBytes);
  static thread_local std::vector<std::byte> present_buffer(storage::kExtentBytes);
  const std::span wanted = std::span(wanted_buffer).first(size);
  HOLDFAST_CHECK(reader.Read(stream, offset, wanted));
  HOLDFAST_TRY(const size_t present, ReadUpTo(file, std::span(present_buffer).first(size), offset));
  bool differs = false;
  for (size_t at = 0; at < size; at += kCompareBytes) {
    const size_t length = std::min(kCompareBytes, size - at);
    const auto piece = wanted.subspan(at, length);
    if (at + length <= present && std::memcmp(piece.data(), &present_buffer[at], length) == 0)
      continue;
    // Beyond the end of the file there will be zeros by themselves.
    if (at >= present && IsZero(piece)) continue;
    HOLDFAST_CHECK(Overwrite(file, piece, offset + at));
    differs = true;
  }
  return differs;
}

Result<bool> PutBackContents(const UniqueFd& file, const rollback::File& entry,
                             storage::PodReader& reader, uint32_t stream, unsigned threads) {
  const uint64_t size = entry.size();
  const size_t pieces = (size + storage::kExtentBytes - 1) / storage::kExtentBytes;
  std::atomic<bool> differs = false;
  HOLDFAST_CHECK(ForEachParallel(threads, pieces, [&](size_t i) -> Status {
    const uint64_t offset = i * storage::kExtentBytes;
    HOLDFAST_TRY(const bool piece_differs,
                 PutBackPiece(file, reader, stream, offset,
                              std::min<uint64_t>(storage::kExtentBytes, size - offset)));
    if (piece_differs) differs = true;
    return {};
  }));
  struct stat info = {};
  if (::fstat(file.get(), &info) != 0) return FailErrno("looking at it");
  if (static_cast<uint64_t>(info.st_size) != size) {
    if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0)
      return FailErrno("setting its size");
    differs = true;
  }
  if (differs && ::fsync(file.get()) != 0) return FailErrno("syncing it");
  // A writer who is not the owner may not; the time then says that it was put back.
  const timespec mtime = ToTimespec(entry.mtime_ns());
  const timespec times[] = {mtime, mtime};
  if (::futimens(file.get(), times) != 0 && errno != EPERM) return FailErrno("setting its time");
  return differs.load();
}

Result<bool> HasContents(const UniqueFd& file, const rollback::File& entry,
                         storage::PodReader& reader, uint32_t stream) {
  struct stat info = {};
  if (::fstat(file.get(), &info) != 0) return FailErrno("looking at it");
  if (static_cast<uint64_t>(info.st_size) != entry.size()) return false;
  std::vector<std::byte> wanted(storage::kExtentBytes), present(storage::kExtentBytes);
  for (uint64_t at = 0; at < entry.size(); at += storage::kExtentBytes) {
    const size_t size = std::min<uint64_t>(storage::kExtentBytes, entry.size() - at);
    HOLDFAST_CHECK(reader.Read(stream, at, std::span(wanted).first(size)));
    HOLDFAST_TRY(const size_t read, ReadUpTo(file, std::span(present).first(size), at));
    if (read != size || std::memcmp(wanted.data(), present.data(), size) != 0) return false;
  }
  return true;
}

}  // namespace

Result<PutBackResult> PutBack(const UniqueFd& directory, const std::string& path,
                              const rollback::File& entry, storage::PodReader& reader,
                              uint32_t stream, const PutBackTarget& target) {
  const auto wrap = [&](Error error) { return std::move(error).Wrap("putting back " + path); };
  const auto [parent_path, name] = ParentAndName(path);
  HOLDFAST_TRY(const UniqueFd parent, MakeParent(directory, parent_path, path));
  PutBackResult result;
  struct stat info = {};
  bool exists = ::fstatat(parent.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
  if (!exists && errno != ENOENT) return FailErrno("looking at " + path);
  if (exists && S_ISLNK(info.st_mode))
    return std::unexpected(Changed(path, "is a symbolic link now, which is not followed"));
  if (exists && !S_ISREG(info.st_mode))
    return std::unexpected(Changed(path, "is not a regular file any more"));
  UniqueFd file;
  if (exists) {
    // Opened even if it looks unchanged: only that makes NFS ask the server.
    auto opened = OpenBeneath(parent, name, O_RDWR | kOpenFlags);
    if (!opened && opened.error().code() == Code::kDenied && IsAsRecorded(info, entry))
      return result;
    HOLDFAST_TRY(file, std::move(opened).transform_error(wrap));
    const FileId found = IdOf(info);
    if (::fstat(file.get(), &info) != 0) return FailErrno("looking at " + path);
    if (!S_ISREG(info.st_mode) || IdOf(info) != found)
      return std::unexpected(Changed(path, "is being replaced"));
    if (IsAsRecorded(info, entry)) return result;
    if (info.st_ino != entry.inode()) {
      // Another file has taken its place. It may be one that an earlier restore made.
      HOLDFAST_TRY(const bool same, HasContents(file, entry, reader, stream).transform_error(wrap));
      if (same) return result;
      HOLDFAST_TRY(const std::string place, SetAside(parent, name, target.set_aside_name));
      result.set_aside = parent_path == "." ? place : parent_path + "/" + place;
      exists = false;
    }
  }
  if (!exists) {
    HOLDFAST_TRY(
        file,
        OpenAt(parent, name, O_RDWR | O_CREAT | O_EXCL, entry.mode() & 0777).transform_error(wrap));
    if (::fchmod(file.get(), entry.mode() & 0777) != 0) return FailErrno("chmod of " + path);
    result.what = PutBackResult::kCreated;
  }
  HOLDFAST_TRY(const bool differed,
               PutBackContents(file, entry, reader, stream, target.threads).transform_error(wrap));
  // Found right, but touched since: another pod may just have put it back.
  const bool touched = exists && ToNanoseconds(info.st_ctim) != entry.ctime_ns();
  if (result.what == PutBackResult::kUnchanged && (differed || touched))
    result.what = PutBackResult::kRewritten;
  HOLDFAST_CHECK(file.Close().transform_error(wrap));
  return result;
}

Result<bool> CutBack(const UniqueFd& root, const storage::FileRecord& record) {
  const auto [parent_path, name] = ParentAndName(record.path);
  const auto parent = OpenParent(root, parent_path, record.path);
  if (!parent && parent.error().errno_value() != ENOENT) return std::unexpected(parent.error());
  struct stat info = {};
  if (!parent || ::fstatat(parent->get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return std::unexpected(Changed(record.path, "does not exist any more"));
  if (S_ISLNK(info.st_mode))
    return std::unexpected(Changed(record.path, "is a symbolic link now, which is not followed"));
  if (!S_ISREG(info.st_mode))
    return std::unexpected(Changed(record.path, "is not a regular file any more"));
  // Slurm opens the job's output anew at every start, and may have made it again.
  if (!record.job_output && info.st_ino != record.inode)
    return std::unexpected(Changed(record.path, "has been replaced by another file"));
  // Opened even if it looks unchanged: only that makes NFS ask the server.
  auto file = OpenBeneath(*parent, name, O_WRONLY | kOpenFlags);
  const bool looks_unchanged = static_cast<uint64_t>(info.st_size) == record.size_bytes;
  if (!file && file.error().code() == Code::kDenied && looks_unchanged) return false;
  if (!file) return std::unexpected(std::move(file).error().Wrap("cutting back " + record.path));
  const FileId found = IdOf(info);
  if (::fstat(file->get(), &info) != 0 || IdOf(info) != found)
    return std::unexpected(Changed(record.path, "is being replaced"));
  if (static_cast<uint64_t>(info.st_size) < record.size_bytes)
    return std::unexpected(
        Changed(record.path, fmt::format("has {} bytes, but had {} at the checkpoint", info.st_size,
                                         record.size_bytes)));
  if (static_cast<uint64_t>(info.st_size) == record.size_bytes) return false;
  if (::ftruncate(file->get(), static_cast<off_t>(record.size_bytes)) != 0)
    return FailErrno("cutting " + record.path + " back to its length at the checkpoint");
  return true;
}

Result<std::string> SetAside(const UniqueFd& directory, const std::string& path,
                             const std::string& name) {
  const auto [above, file_name] = ParentAndName(path);
  const std::string place = above == "." ? name : name + "/" + above;
  HOLDFAST_TRY(const UniqueFd from, OpenBeneath(directory, above, O_PATH | O_DIRECTORY));
  HOLDFAST_TRY(const UniqueFd to, MakeParent(directory, place, path));
  for (int number = 0; number < 1000; ++number) {
    const std::string ending = number == 0 ? "" : fmt::format(".{}", number);
    const std::string free = file_name.substr(0, NAME_MAX - ending.size()) + ending;
    if (::renameat2(from.get(), file_name.c_str(), to.get(), free.c_str(), RENAME_NOREPLACE) == 0)
      return place + "/" + free;
    if (errno != EEXIST) return FailErrno("setting aside " + path);
  }
  return Fail(Code::kConflict,
              "setting aside " + path + ": too many files of that name in " + place);
}

}  // namespace holdfast::warden
