#include "warden/files/scratch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <span>

#include "base/files.h"
#include "base/parallel.h"
#include "warden/isolation/pod_files.h"
#include "warden_images/scratch.pb.h"

namespace holdfast::warden {
namespace {

constexpr uint32_t kVersion = 1;
constexpr std::string_view kRoots[] = {"/tmp", "/dev/shm", kPodDirectory};
// Files begin at multiples of this in the stream.
constexpr uint64_t kAlignment = 4096;

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

// A part of one file's data, at most one extent long.
struct Piece {
  size_t entry;
  uint64_t offset;  // in the file
  uint64_t size_bytes;
};

std::vector<Piece> CutEntry(const scratch::Entry& entry, size_t index) {
  std::vector<Piece> pieces;
  for (const scratch::Run& run : entry.runs()) {
    const uint64_t end = run.offset() + run.size();
    for (uint64_t at = run.offset(); at < end;) {
      const uint64_t cut = std::min(end, (at / storage::kExtentBytes + 1) * storage::kExtentBytes);
      pieces.push_back({.entry = index, .offset = at, .size_bytes = cut - at});
      at = cut;
    }
  }
  return pieces;
}

std::vector<Piece> CutTable(const scratch::Table& table) {
  std::vector<Piece> pieces;
  for (int i = 0; i < table.entries_size(); ++i)
    for (const Piece& piece : CutEntry(table.entries(i), static_cast<size_t>(i)))
      pieces.push_back(piece);
  return pieces;
}

std::string InRoot(const scratch::Table& table, const scratch::Entry& entry) {
  return table.roots(static_cast<int>(entry.root())) + "/" + entry.path();
}

// Nothing can be restored that the owner could not make.
Status CheckOwner(const scratch::Table& table, const scratch::Entry& entry, const Identity& owner) {
  const bool own_group = entry.gid() == owner.gid ||
                         std::ranges::find(owner.groups, entry.gid()) != owner.groups.end();
  if (entry.uid() == owner.uid && own_group) return {};
  return Fail(Code::kDenied, InRoot(table, entry) + " belongs to " + std::to_string(entry.uid()) +
                                 ":" + std::to_string(entry.gid()) +
                                 ", which is not the job's user");
}

// ---- saving ----

// Walks one root after the other and fills the table.
class Walker {
 public:
  explicit Walker(scratch::Table& table) : table_(table) {}

  Status Walk(uint32_t root, const UniqueFd& directory) {
    same_files_.clear();
    std::vector<std::string> pending = {""};
    while (!pending.empty()) {
      const std::string path = std::move(pending.back());
      pending.pop_back();
      HOLDFAST_TRY(const UniqueFd open,
                   OpenBeneath(directory, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY));
      HOLDFAST_TRY(const auto names, ListDirectory("/proc/self/fd/" + std::to_string(open.get())));
      for (const std::string& name : names) {
        struct stat info = {};
        if (::fstatat(open.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
          return FailErrno("looking at " + path + "/" + name);
        const std::string below = path.empty() ? name : path + "/" + name;
        HOLDFAST_CHECK(Add(root, directory, open, name, below, info));
        if (S_ISDIR(info.st_mode)) pending.push_back(below);
      }
    }
    return {};
  }

  uint64_t stream_bytes() const { return stream_bytes_; }

 private:
  Status Add(uint32_t root, const UniqueFd& directory, const UniqueFd& parent,
             const std::string& name, const std::string& path, const struct stat& info) {
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode) && !S_ISLNK(info.st_mode) &&
        !S_ISFIFO(info.st_mode))
      return {};
    scratch::Entry& entry = *table_.add_entries();
    entry.set_root(root);
    entry.set_path(path);
    entry.set_mode(info.st_mode);
    entry.set_uid(info.st_uid);
    entry.set_gid(info.st_gid);
    entry.set_mtime_ns(info.st_mtim.tv_sec * kNanosecondsPerSecond + info.st_mtim.tv_nsec);
    if (S_ISLNK(info.st_mode)) return SetTarget(parent, name, entry);
    if (!S_ISREG(info.st_mode)) return {};
    entry.set_size(static_cast<uint64_t>(info.st_size));
    if (info.st_nlink > 1) {
      const auto [first, is_new] = same_files_.emplace(info.st_ino, path);
      if (!is_new) {
        entry.set_target(first->second);
        return {};
      }
    }
    entry.set_stream_offset(stream_bytes_);
    stream_bytes_ += (entry.size() + kAlignment - 1) / kAlignment * kAlignment;
    return FindRuns(directory, entry);
  }

  static Status SetTarget(const UniqueFd& parent, const std::string& name, scratch::Entry& entry) {
    char target[PATH_MAX];
    const ssize_t size = ::readlinkat(parent.get(), name.c_str(), target, sizeof target);
    if (size < 0) return FailErrno("reading the link " + name);
    entry.set_target(target, static_cast<size_t>(size));
    return {};
  }

  static Status FindRuns(const UniqueFd& directory, scratch::Entry& entry) {
    HOLDFAST_TRY(const UniqueFd file, OpenBeneath(directory, entry.path(), O_RDONLY | O_NONBLOCK));
    const auto size = static_cast<off_t>(entry.size());
    for (off_t at = 0; at < size;) {
      const off_t data = ::lseek(file.get(), at, SEEK_DATA);
      if (data < 0 && errno == ENXIO) break;  // only a hole is left
      if (data < 0) return FailErrno("looking for data in " + entry.path());
      const off_t hole = ::lseek(file.get(), data, SEEK_HOLE);
      if (hole < 0) return FailErrno("looking for holes in " + entry.path());
      scratch::Run& run = *entry.add_runs();
      run.set_offset(static_cast<uint64_t>(data));
      run.set_size(static_cast<uint64_t>(std::min(hole, size) - data));
      at = hole;
    }
    return {};
  }

  scratch::Table& table_;
  std::map<ino_t, std::string> same_files_;
  uint64_t stream_bytes_ = 0;
};

Result<std::vector<UniqueFd>> OpenRoots(const Pod& pod, const scratch::Table& table) {
  HOLDFAST_TRY(const UniqueFd pod_root, OpenPodRoot(pod));
  std::vector<UniqueFd> roots;
  for (const std::string& root : table.roots()) {
    HOLDFAST_TRY(roots.emplace_back(), OpenInPod(pod_root, root, O_PATH | O_DIRECTORY));
  }
  return roots;
}

// Only now: until here files are found by the names that they have.
void MarkLent(const std::map<std::string, std::string>& names, scratch::Table& table) {
  std::map<std::pair<uint32_t, std::string>, std::string> renamed;
  for (scratch::Entry& entry : *table.mutable_entries()) {
    const auto name = names.find(InRoot(table, entry));
    if (name == names.end()) continue;
    std::string path = name->second.substr(table.roots(static_cast<int>(entry.root())).size() + 1);
    renamed.emplace(std::pair(entry.root(), entry.path()), path);
    entry.set_path(std::move(path));
    entry.set_lent(true);
  }
  for (scratch::Entry& entry : *table.mutable_entries()) {
    if (!S_ISREG(entry.mode()) || entry.target().empty()) continue;
    const auto first = renamed.find({entry.root(), entry.target()});
    if (first != renamed.end()) entry.set_target(first->second);
  }
}

// ---- restoring ----

bool IsSafePath(const std::string& path) {
  return !path.empty() && path.front() != '/' && ("/" + path + "/").find("/../") == path.npos &&
         path.find('\0') == path.npos;
}

Status CheckEntry(const scratch::Table& table, const scratch::Entry& entry, const Identity& owner,
                  uint64_t stream_bytes) {
  if (entry.root() >= static_cast<uint32_t>(table.roots_size()) || !IsSafePath(entry.path()))
    return Fail(Code::kCorrupt, "the table of private files names a path outside");
  if (S_ISREG(entry.mode()) && !entry.target().empty() && !IsSafePath(entry.target()))
    return Fail(Code::kCorrupt, InRoot(table, entry) + " is a link to a path outside");
  HOLDFAST_CHECK(CheckOwner(table, entry, owner));
  uint64_t end = 0;
  for (const scratch::Run& run : entry.runs()) {
    if (run.offset() < end || run.size() > entry.size() || run.offset() > entry.size() - run.size())
      return Fail(Code::kCorrupt, InRoot(table, entry) + " has data outside of itself");
    end = run.offset() + run.size();
  }
  if (!entry.runs().empty() &&
      (entry.stream_offset() > stream_bytes || end > stream_bytes - entry.stream_offset()))
    return Fail(Code::kCorrupt, InRoot(table, entry) + " has data that was not saved");
  return {};
}

Status Create(const UniqueFd& root, const scratch::Entry& entry) {
  const char* path = entry.path().c_str();
  switch (entry.mode() & S_IFMT) {
    case S_IFDIR:
      if (::mkdirat(root.get(), path, 0700) != 0) return FailErrno("mkdir");
      return {};
    case S_IFLNK:
      if (::symlinkat(entry.target().c_str(), root.get(), path) != 0) return FailErrno("symlink");
      return {};
    case S_IFIFO:
      if (::mkfifoat(root.get(), path, 0600) != 0) return FailErrno("mkfifo");
      return {};
    case S_IFREG: {
      if (!entry.target().empty()) {
        if (::linkat(root.get(), entry.target().c_str(), root.get(), path, 0) != 0)
          return FailErrno("link");
        return {};
      }
      HOLDFAST_TRY(const UniqueFd file, OpenAt(root, entry.path(), O_WRONLY | O_CREAT | O_EXCL));
      if (::ftruncate(file.get(), static_cast<off_t>(entry.size())) != 0)
        return FailErrno("truncate");
      return {};
    }
    default:
      return Fail(Code::kCorrupt, "an entry of unknown type");
  }
}

Status SetAttributes(const UniqueFd& root, const scratch::Entry& entry, const Identity& owner) {
  const char* path = entry.path().c_str();
  if (entry.gid() != owner.gid &&
      ::fchownat(root.get(), path, static_cast<uid_t>(-1), entry.gid(), AT_SYMLINK_NOFOLLOW) != 0)
    return FailErrno("chgrp");
  if (!S_ISLNK(entry.mode()) && ::fchmodat(root.get(), path, entry.mode() & 07777, 0) != 0)
    return FailErrno("chmod");
  const timespec mtime{.tv_sec = entry.mtime_ns() / kNanosecondsPerSecond,
                       .tv_nsec = entry.mtime_ns() % kNanosecondsPerSecond};
  const timespec times[] = {mtime, mtime};
  if (::utimensat(root.get(), path, times, AT_SYMLINK_NOFOLLOW) != 0) return FailErrno("utimensat");
  return {};
}

// Data first, then attributes: a file may be read-only, and writing changes times.
Status Fill(const std::vector<UniqueFd>& roots, const scratch::Table& table, uint32_t stream,
            storage::PodReader& reader, unsigned threads) {
  const std::vector<Piece> pieces = CutTable(table);
  return ForEachParallel(threads, pieces.size(), [&](size_t i) -> Status {
    static thread_local std::vector<std::byte> buffer(storage::kExtentBytes);
    const scratch::Entry& entry = table.entries(static_cast<int>(pieces[i].entry));
    const std::span data = std::span(buffer).first(pieces[i].size_bytes);
    HOLDFAST_CHECK(reader.Read(stream, entry.stream_offset() + pieces[i].offset, data));
    HOLDFAST_TRY(UniqueFd file, OpenBeneath(roots[entry.root()], entry.path(), O_WRONLY));
    HOLDFAST_CHECK(WriteFullAt(file, data, pieces[i].offset));
    return file.Close();
  });
}

Result<uint32_t> FindStream(const storage::PodReader& reader) {
  const auto& streams = reader.streams();
  for (uint32_t i = 0; i < streams.size(); ++i)
    if (streams[i].name == kScratchStream) return i;
  return Fail(Code::kCorrupt, "the checkpoint has no private files");
}

}  // namespace

bool IsScratch(const std::string& path) {
  return std::ranges::any_of(kRoots, [&](std::string_view root) {
    return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
  });
}

Result<uint64_t> SaveScratch(const Pod& pod, const std::map<std::string, std::string>& names,
                             storage::PodWriter& writer, unsigned threads) {
  scratch::Table table;
  table.set_version(kVersion);
  for (const std::string_view root : kRoots) table.add_roots(std::string(root));
  HOLDFAST_TRY(const std::vector<UniqueFd> roots, OpenRoots(pod, table));
  Walker walker(table);
  for (uint32_t i = 0; i < roots.size(); ++i) HOLDFAST_CHECK(walker.Walk(i, roots[i]));
  for (const scratch::Entry& entry : table.entries())
    HOLDFAST_CHECK(CheckOwner(table, entry, pod.options().owner));

  HOLDFAST_TRY(const uint32_t stream, writer.AddStream(kScratchStream));
  HOLDFAST_CHECK(writer.SetSize(stream, walker.stream_bytes()));
  const std::vector<Piece> pieces = CutTable(table);
  const auto save = [&](size_t i) -> Status {
    static thread_local std::vector<std::byte> buffer(storage::kExtentBytes);
    const scratch::Entry& entry = table.entries(static_cast<int>(pieces[i].entry));
    const std::span data = std::span(buffer).first(pieces[i].size_bytes);
    HOLDFAST_TRY(const UniqueFd file,
                 OpenBeneath(roots[entry.root()], entry.path(), O_RDONLY | O_NONBLOCK));
    HOLDFAST_CHECK(ReadFullAt(file, data, pieces[i].offset));
    return writer.Put(stream, entry.stream_offset() + pieces[i].offset, data);
  };
  HOLDFAST_CHECK(ForEachParallel(threads, pieces.size(), save));
  MarkLent(names, table);
  HOLDFAST_CHECK(writer.AddImage(kScratchTable, table.SerializeAsString()));
  uint64_t total = 0;
  for (const Piece& piece : pieces) total += piece.size_bytes;
  return total;
}

Result<scratch::Table> ParseScratchTable(const std::string& bytes, const Identity& owner,
                                         uint64_t stream_bytes) {
  scratch::Table table;
  if (!table.ParseFromString(bytes) || table.version() != kVersion)
    return Fail(Code::kCorrupt, "the table of private files cannot be read");
  for (const std::string& root : table.roots())
    if (std::ranges::find(kRoots, root) == std::end(kRoots))
      return Fail(Code::kCorrupt, "the table of private files names " + root);
  for (const scratch::Entry& entry : table.entries())
    HOLDFAST_CHECK(CheckEntry(table, entry, owner, stream_bytes));
  return table;
}

Result<scratch::Table> RestoreScratch(const Pod& pod, storage::PodReader& reader,
                                      unsigned threads) {
  const Identity& owner = pod.options().owner;
  HOLDFAST_TRY(const std::string bytes, reader.ReadImage(kScratchTable));
  HOLDFAST_TRY(const uint32_t stream, FindStream(reader));
  HOLDFAST_TRY(scratch::Table table,
               ParseScratchTable(bytes, owner, reader.streams()[stream].size_bytes));

  HOLDFAST_TRY(const std::vector<UniqueFd> roots, OpenRoots(pod, table));
  const ScopedIdentity as_owner(owner);
  const auto wrap = [&](Status status, const scratch::Entry& entry) -> Status {
    if (status) return {};
    return std::unexpected(std::move(status).error().Wrap("restoring " + InRoot(table, entry)));
  };
  for (const scratch::Entry& entry : table.entries())
    HOLDFAST_CHECK(wrap(Create(roots[entry.root()], entry), entry));
  HOLDFAST_CHECK(Fill(roots, table, stream, reader, threads));
  for (int i = table.entries_size() - 1; i >= 0; --i) {
    const scratch::Entry& entry = table.entries(i);
    HOLDFAST_CHECK(wrap(SetAttributes(roots[entry.root()], entry, owner), entry));
  }
  return table;
}

Status RemoveLent(const Pod& pod, const scratch::Table& table) {
  HOLDFAST_TRY(const std::vector<UniqueFd> roots, OpenRoots(pod, table));
  const ScopedIdentity as_owner(pod.options().owner);
  for (const scratch::Entry& entry : table.entries())
    if (entry.lent() && ::unlinkat(roots[entry.root()].get(), entry.path().c_str(), 0) != 0)
      return FailErrno("removing " + InRoot(table, entry));
  return {};
}

}  // namespace holdfast::warden
