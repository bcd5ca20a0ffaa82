#include "storage/posix/posix_backend.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <tuple>

#include "base/files.h"
#include "storage/bounded_backend.h"
#include "storage/digest.h"
#include "storage/layout.h"

namespace holdfast::storage {
namespace {

// Large enough for a parallel filesystem to write whole stripes, small enough that a warden's
// buffers stay within its budget (docs/adr/0007-extents-blobs-packs.md).
constexpr size_t kWriteBytes = 4 << 20;
constexpr uint64_t kUnwrittenBytes = 32 << 20;
constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY;

Result<std::string> UnfinishedName(std::string_view name) {
  std::array<std::byte, 8> random;
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    return FailErrno("getrandom");
  return std::string(name) + std::string(kUnfinishedMark) + ToHex(random);
}

Status Sync(const UniqueFd& fd, const std::string& path) {
  if (::fsync(fd.get()) != 0) return FailErrno("fsync " + path);
  return {};
}

// What is not there needs no removing and holds nothing.
Status UnlessMissing(const Error& error) {
  return error.code() == Code::kNotFound ? Status() : std::unexpected(error);
}

// Names in a directory that is open, but . and .., sorted.
Result<std::vector<std::string>> NamesIn(const UniqueFd& directory, const std::string& path) {
  // A new open file description: a duplicate would share its read position with other threads.
  HOLDFAST_TRY(UniqueFd own, OpenAt(directory, ".", kDirectoryFlags));
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(own.get()), ::closedir);
  if (!stream) return FailErrno("listing " + path);
  std::ignore = own.Release();  // the stream's now
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) return FailErrno("listing " + path);
  std::ranges::sort(names);
  return names;
}

// Gives a finished file its name unless that is taken.
Status Publish(const UniqueFd& directory, const std::string& from, const std::string& to,
               const std::string& path) {
  const int fd = directory.get();
  if (::syscall(SYS_renameat2, fd, from.c_str(), fd, to.c_str(), RENAME_NOREPLACE) == 0) return {};
  // NFS and others know no RENAME_NOREPLACE (renameat2(2): EINVAL).
  if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) return FailErrno("naming " + path);
  if (::linkat(fd, from.c_str(), fd, to.c_str(), 0) != 0) {
    const int link_errno = errno;
    // An NFS client that repeats a request whose answer was lost gets EEXIST for its own link.
    struct stat status{};
    const bool linked = link_errno == EEXIST &&
                        ::fstatat(fd, from.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                        status.st_nlink == 2;
    if (!linked) return std::unexpected(Error::FromErrno("naming " + path, link_errno));
  }
  ::unlinkat(fd, from.c_str(), 0);
  return {};
}

// Durable when it returns; success if it was there.
Status MakeDirectory(const UniqueFd& parent, const std::string& name, const std::string& path) {
  if (::mkdirat(parent.get(), name.c_str(), 0700) == 0) return Sync(parent, path + "'s parent");
  return errno == EEXIST ? Status() : FailErrno("creating directory " + path);
}

class PosixWriter : public ObjectWriter {
 public:
  PosixWriter(const Identity& owner, UniqueFd directory, UniqueFd file, std::string unfinished,
              std::string name, std::string path)
      : owner_(owner),
        directory_(std::move(directory)),
        file_(std::move(file)),
        unfinished_(std::move(unfinished)),
        name_(std::move(name)),
        path_(std::move(path)) {}

  ~PosixWriter() override {
    if (unfinished_.empty()) return;
    const ScopedIdentity as_owner(owner_);
    ::unlinkat(directory_.get(), unfinished_.c_str(), 0);
  }

  Status Append(std::span<const std::byte> data) override {
    const ScopedIdentity as_owner(owner_);
    if (auto written = WriteFullAt(file_, data, size_); !written)
      return std::unexpected(std::move(written).error().Wrap("writing " + path_));
    size_ += data.size();
    StartWriteback();
    return {};
  }

  Status Finish() override {
    const ScopedIdentity as_owner(owner_);
    // Without this fsync a crash after the rename may leave an empty file under the final name.
    HOLDFAST_CHECK(Sync(file_, path_));
    if (auto closed = file_.Close(); !closed)
      return std::unexpected(std::move(closed).error().Wrap("closing " + path_));
    HOLDFAST_CHECK(Publish(directory_, unfinished_, name_, path_));
    unfinished_.clear();
    // And without this one the name itself may be gone.
    return Sync(directory_, path_ + "'s directory");
  }

 private:
  // Has the disk write while we go on, at most kUnwrittenBytes behind us. So fsync finds little
  // left to do, how long Append takes tells how fast the disk is, and the job's memory limit does
  // not fill with pages that cannot be reclaimed. Errors come back from fsync.
  void StartWriteback() {
    constexpr unsigned kWait =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    SyncRange(started_, size_, SYNC_FILE_RANGE_WRITE);
    started_ = size_;
    if (size_ <= written_ + kUnwrittenBytes) return;
    SyncRange(written_, size_ - kUnwrittenBytes, kWait);
    written_ = size_ - kUnwrittenBytes;
  }
  void SyncRange(uint64_t begin, uint64_t end, unsigned flags) {
    ::sync_file_range(file_.get(), static_cast<off_t>(begin), static_cast<off_t>(end - begin),
                      flags);
  }

  const Identity& owner_;
  UniqueFd directory_;
  UniqueFd file_;
  std::string unfinished_;  // name in the directory; empty once published
  std::string name_;
  std::string path_;
  uint64_t size_ = 0;
  uint64_t started_ = 0;  // up to here the disk has been told
  uint64_t written_ = 0;  // up to here it was waited for
};

class PosixReader : public ObjectReader {
 public:
  PosixReader(UniqueFd file, uint64_t size, std::string path)
      : file_(std::move(file)), size_(size), path_(std::move(path)) {}

  uint64_t size_bytes() const override { return size_; }

  Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    return ReadFullAt(file_, out, offset).transform_error([&](Error error) {
      return std::move(error).Wrap(fmt::format("reading {} at {}", path_, offset));
    });
  }

 private:
  UniqueFd file_;
  uint64_t size_;
  std::string path_;
};

class PosixBackend : public Backend {
 public:
  PosixBackend(std::string base, std::string job, Identity owner)
      : base_(std::move(base)), job_(std::move(job)), owner_(std::move(owner)) {}

  const Capabilities& capabilities() const override { return capabilities_; }

  std::string Describe(std::string_view key) const override {
    return fmt::format("{}/{}/{}", base_, job_, key);
  }

  Status Prepare() override {
    {
      const ScopedIdentity as_owner(owner_);
      HOLDFAST_CHECK(MakeDirectories(base_, 0700));
      HOLDFAST_TRY(const UniqueFd base, OpenFile(base_, kDirectoryFlags));
      HOLDFAST_CHECK(MakeDirectory(base, job_, Describe("")));
      HOLDFAST_TRY(const UniqueFd job, OpenAt(base, job_, kDirectoryFlags));
      // A default ACL of the parent may have let others in; only the owner can do this.
      if (::fchmod(job.get(), 0700) != 0 && errno != EPERM)
        return FailErrno("making private " + Describe(""));
      HOLDFAST_CHECK(OpenJob());
    }
    // No object of this name is ever finished, so what a crash leaves of it counts as debris.
    HOLDFAST_TRY(const auto probe, Create(ManifestKey(0)));
    return probe->Append(std::array<std::byte, 1>{});
  }

  Result<std::unique_ptr<ObjectWriter>> Create(const std::string& key) override {
    const ScopedIdentity as_owner(owner_);
    HOLDFAST_TRY(Place place, OpenPlace(key, /*create=*/true));
    HOLDFAST_TRY(std::string unfinished, UnfinishedName(place.name));
    auto file = OpenAt(place.directory, unfinished, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (!file) return std::unexpected(std::move(file).error().Wrap("creating " + Describe(key)));
    return std::make_unique<PosixWriter>(owner_, std::move(place.directory), std::move(*file),
                                         std::move(unfinished), std::move(place.name),
                                         Describe(key));
  }

  Result<std::unique_ptr<ObjectReader>> Open(const std::string& key) override {
    const ScopedIdentity as_owner(owner_);
    HOLDFAST_TRY(const Place place, OpenPlace(key, /*create=*/false));
    // O_NONBLOCK: a FIFO put there must not hold us up.
    auto file = OpenAt(place.directory, place.name, O_RDONLY | O_NONBLOCK);
    if (!file) return std::unexpected(std::move(file).error().Wrap("reading " + Describe(key)));
    struct stat status{};
    if (::fstat(file->get(), &status) != 0) return FailErrno("stat " + Describe(key));
    if (!S_ISREG(status.st_mode))
      return Fail(Code::kCorrupt, "reading " + Describe(key) + ": not a regular file");
    return std::make_unique<PosixReader>(std::move(*file), static_cast<uint64_t>(status.st_size),
                                         Describe(key));
  }

  Status PutIfAbsent(const std::string& key, std::span<const std::byte> contents) override {
    HOLDFAST_TRY(const auto writer, Create(key));
    HOLDFAST_CHECK(writer->Append(contents));
    return writer->Finish();
  }

  Result<std::vector<ObjectInfo>> List(const std::string& prefix) override {
    const ScopedIdentity as_owner(owner_);
    std::vector<ObjectInfo> objects;
    const auto job = OpenJob();
    if (!job) {
      HOLDFAST_CHECK(UnlessMissing(job.error()));
      return objects;
    }
    HOLDFAST_CHECK(ListInto(*job, "", prefix, objects));
    std::ranges::sort(objects, {}, &ObjectInfo::key);
    return objects;
  }

  Result<std::vector<std::string>> Beside(const std::string& prefix) override {
    const ScopedIdentity as_owner(owner_);
    std::vector<std::string> places;
    const auto base = OpenFile(base_, kDirectoryFlags);
    if (!base) {
      HOLDFAST_CHECK(UnlessMissing(base.error()));
      return places;
    }
    HOLDFAST_TRY(places, NamesIn(*base, base_));
    std::erase_if(places,
                  [&](const std::string& name) { return !(name + "/").starts_with(prefix); });
    return places;
  }

  Status Delete(const std::string& key) override {
    const ScopedIdentity as_owner(owner_);
    const auto place = OpenPlace(key, /*create=*/false);
    if (!place) return UnlessMissing(place.error());
    if (::unlinkat(place->directory.get(), place->name.c_str(), 0) != 0)
      return errno == ENOENT ? Status() : FailErrno("removing " + Describe(key));
    // Or a crash could bring back a manifest whose packs, removed later, are gone.
    return Sync(place->directory, Describe(key) + "'s directory");
  }

  Status RemoveIfEmpty() override {
    const ScopedIdentity as_owner(owner_);
    const auto job = OpenJob();
    if (!job) return UnlessMissing(job.error());
    HOLDFAST_TRY(const auto names, NamesIn(*job, Describe("")));
    for (const std::string& name : names) ::unlinkat(job->get(), name.c_str(), AT_REMOVEDIR);
    HOLDFAST_TRY(const UniqueFd base, OpenFile(base_, kDirectoryFlags));
    if (::unlinkat(base.get(), job_.c_str(), AT_REMOVEDIR) != 0 && errno != ENOTEMPTY &&
        errno != EEXIST && errno != ENOENT)
      return FailErrno("removing directory " + Describe(""));
    return {};
  }

 private:
  // The directory a key lies in, open, and the key's last component.
  struct Place {
    UniqueFd directory;
    std::string name;
  };

  // The functions below run under the owner's identity.

  Result<UniqueFd> OpenJob() const {
    // The user's own path, looked up with the user's rights: links in it are theirs to make.
    HOLDFAST_TRY(const UniqueFd base, OpenFile(base_, kDirectoryFlags));
    auto job = OpenAt(base, job_, kDirectoryFlags);
    if (!job)
      return std::unexpected(std::move(job).error().Wrap("opening directory " + Describe("")));
    struct stat status{};
    if (::fstat(job->get(), &status) != 0) return FailErrno("stat " + Describe(""));
    if (status.st_uid != owner_.uid || (status.st_mode & 077) != 0)
      return Fail(Code::kDenied,
                  fmt::format("directory {} belongs to uid {} with mode {:04o}: others could read "
                              "the job's memory there; it must belong to uid {} with mode 0700",
                              Describe(""), status.st_uid, status.st_mode & 07777, owner_.uid));
    return job;
  }

  Result<Place> OpenPlace(const std::string& key, bool create) const {
    HOLDFAST_TRY(UniqueFd job, OpenJob());
    const size_t slash = key.find('/');
    if (slash == key.npos) return Place{std::move(job), key};
    const std::string directory = key.substr(0, slash);
    if (create) HOLDFAST_CHECK(MakeDirectory(job, directory, Describe(directory)));
    auto opened = OpenAt(job, directory, kDirectoryFlags);
    if (!opened) return std::unexpected(std::move(opened).error().Wrap("reading " + Describe(key)));
    return Place{std::move(*opened), key.substr(slash + 1)};
  }

  // Adds the files in `directory`, whose keys begin with `parent`, and those one level below.
  Status ListInto(const UniqueFd& directory, const std::string& parent, const std::string& prefix,
                  std::vector<ObjectInfo>& objects) const {
    HOLDFAST_TRY(const auto names, NamesIn(directory, Describe(parent)));
    for (const std::string& name : names) {
      const std::string key = parent + name;
      struct stat status{};
      if (::fstatat(directory.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) continue;
        return FailErrno("stat " + Describe(key));
      }
      if (S_ISREG(status.st_mode) && key.starts_with(prefix))
        objects.push_back({key, static_cast<uint64_t>(status.st_size)});
      const std::string below = key + "/";
      if (!S_ISDIR(status.st_mode) || !parent.empty() ||
          (!prefix.starts_with(below) && !below.starts_with(prefix)))
        continue;
      HOLDFAST_TRY(const UniqueFd child, OpenAt(directory, name, kDirectoryFlags));
      HOLDFAST_CHECK(ListInto(child, below, prefix, objects));
    }
    return {};
  }

  const Capabilities capabilities_{.write_bytes = kWriteBytes};
  const std::string base_;
  const std::string job_;
  const Identity owner_;
};

}  // namespace

std::unique_ptr<Backend> MakePosixBackend(std::string base, std::string job, Identity owner) {
  return std::make_unique<PosixBackend>(std::move(base), std::move(job), std::move(owner));
}

Result<std::unique_ptr<Backend>> posix::Open(const JobPlace& place, const config::Cloud&) {
  return MakeBoundedBackend(
      MakePosixBackend(std::string(DirectoryOf(place.url)), place.job, place.owner));
}

}  // namespace holdfast::storage
