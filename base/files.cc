#include "base/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <memory>

namespace holdfast {
namespace {

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

std::string ParentOf(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent;
}

// Calls transfer(done) until `size` bytes are through. transfer returns what read(2) and write(2)
// do.
template <typename Transfer>
Status TransferFull(size_t size, const char* operation, Transfer transfer) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = transfer(done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FailErrno(operation);
    if (n == 0) return Fail(Code::kCorrupt, std::string(operation) + ": unexpected end of file");
    done += static_cast<size_t>(n);
  }
  return {};
}

}  // namespace

Result<UniqueFd> OpenFile(const std::string& path, int flags, mode_t mode) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd.valid()) return FailErrno("opening " + path);
  return fd;
}

Result<UniqueFd> OpenAt(const UniqueFd& directory, const std::string& name, int flags,
                        mode_t mode) {
  UniqueFd fd(::openat(directory.get(), name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd.valid()) return FailErrno("opening " + name);
  return fd;
}

Result<std::string> ReadAll(const UniqueFd& fd) {
  std::string contents;
  char buffer[65536];
  while (true) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FailErrno("read");
    if (n == 0) return contents;
    contents.append(buffer, static_cast<size_t>(n));
  }
}

Result<UniqueFd> FileInMemory(std::string_view contents) {
  UniqueFd file(::memfd_create("holdfast", MFD_CLOEXEC));
  if (!file.valid()) return FailErrno("making a file in memory");
  HOLDFAST_CHECK(WriteFullAt(file, AsBytes(contents), 0));
  return file;
}

Result<std::string> ReadFile(const std::string& path) {
  HOLDFAST_TRY(const UniqueFd fd, OpenFile(path, O_RDONLY));
  return ReadAll(fd).transform_error(
      [&](Error error) { return std::move(error).Wrap("reading " + path); });
}

Status WriteFile(const std::string& path, std::string_view contents, mode_t mode) {
  HOLDFAST_TRY(UniqueFd fd, OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC, mode));
  auto written = WriteFull(fd, AsBytes(contents));
  if (written) written = fd.Close();
  return written.transform_error(
      [&](Error error) { return std::move(error).Wrap("writing " + path); });
}

Status ReplaceFile(const std::string& path, std::string_view contents, mode_t mode) {
  const std::string temporary = path + ".tmp." + std::to_string(::getpid());
  const auto replace = [&]() -> Status {
    HOLDFAST_TRY(UniqueFd fd, OpenFile(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
    HOLDFAST_CHECK(WriteFull(fd, AsBytes(contents)));
    // Without this a crash after the rename may leave an empty file under the final name.
    if (::fsync(fd.get()) != 0) return FailErrno("fsync " + temporary);
    HOLDFAST_CHECK(fd.Close());
    if (::rename(temporary.c_str(), path.c_str()) != 0) return FailErrno("renaming to " + path);
    return SyncDirectory(ParentOf(path));
  };
  const Status replaced = replace();
  if (!replaced) ::unlink(temporary.c_str());
  return replaced;
}

Status WriteFull(const UniqueFd& fd, std::span<const std::byte> data) {
  return TransferFull(data.size(), "write", [&](size_t done) {
    return ::write(fd.get(), data.data() + done, data.size() - done);
  });
}

Status WriteFullAt(const UniqueFd& fd, std::span<const std::byte> data, uint64_t offset) {
  return TransferFull(data.size(), "write", [&](size_t done) {
    return ::pwrite(fd.get(), data.data() + done, data.size() - done,
                    static_cast<off_t>(offset + done));
  });
}

Status ReadFull(const UniqueFd& fd, std::span<std::byte> data) {
  return TransferFull(data.size(), "read", [&](size_t done) {
    return ::read(fd.get(), data.data() + done, data.size() - done);
  });
}

Status ReadFullAt(const UniqueFd& fd, std::span<std::byte> data, uint64_t offset) {
  return TransferFull(data.size(), "read", [&](size_t done) {
    return ::pread(fd.get(), data.data() + done, data.size() - done,
                   static_cast<off_t>(offset + done));
  });
}

Status MakeDirectories(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return {};
  if (errno != ENOENT || path == ParentOf(path)) return FailErrno("creating directory " + path);
  HOLDFAST_CHECK(MakeDirectories(ParentOf(path), mode));
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
    return FailErrno("creating directory " + path);
  return {};
}

Status SyncDirectory(const std::string& path) {
  HOLDFAST_TRY(const UniqueFd fd, OpenFile(path, O_RDONLY | O_DIRECTORY));
  if (::fsync(fd.get()) != 0) return FailErrno("fsync " + path);
  return {};
}

Status RemoveTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return std::unexpected(Error::FromErrno("removing " + path, error.value()));
  return {};
}

Result<std::vector<std::string>> ListDirectory(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
  if (!directory) return FailErrno("listing " + path);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) return FailErrno("listing " + path);
  std::ranges::sort(names);
  return names;
}

Result<std::string> ReadLink(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t size = ::readlink(path.c_str(), target, sizeof target);
  if (size < 0) return FailErrno("reading the link " + path);
  return std::string(target, static_cast<size_t>(size));
}

bool FileExists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

int64_t ToNanoseconds(const timespec& time) {
  return time.tv_sec * kNanosecondsPerSecond + time.tv_nsec;
}

timespec ToTimespec(int64_t nanoseconds) {
  return {.tv_sec = nanoseconds / kNanosecondsPerSecond,
          .tv_nsec = nanoseconds % kNanosecondsPerSecond};
}

}  // namespace holdfast
