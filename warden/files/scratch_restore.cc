// How private files come back: the table is checked as a whole, then the room on the node, then
// everything is made, filled, and given its attributes, from the leaves up.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>

#include "base/duration.h"
#include "base/files.h"
#include "base/parallel.h"
#include "warden/files/scratch.h"
#include "warden/files/scratch_table.h"
#include "warden/isolation/pod_files.h"

namespace holdfast::warden {
namespace {

bool IsSafePath(const std::string& path) {
  return !path.empty() && path.front() != '/' && ("/" + path + "/").find("/../") == path.npos &&
         path.find('\0') == path.npos;
}

Status CheckEntry(const scratch::Table& table, const std::vector<std::string>& roots,
                  const scratch::Entry& entry, const Identity& owner, uint64_t stream_bytes) {
  if (entry.root() >= static_cast<uint32_t>(table.roots_size()) || !IsSafePath(entry.path()))
    return Fail(Code::kCorrupt, "the table of private files names a path outside");
  if (const std::string& root = table.roots(static_cast<int>(entry.root()));
      !std::ranges::contains(roots, root))
    return Fail(Code::kUnsupported, "the job has files in its own " + root +
                                        ", which on this node is no directory of its own: it must "
                                        "be in node.private_directories here too");
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
  const timespec mtime = ToTimespec(entry.mtime_ns());
  const timespec times[] = {mtime, mtime};
  if (::utimensat(root.get(), path, times, AT_SYMLINK_NOFOLLOW) != 0) return FailErrno("utimensat");
  return {};
}

// Before anything is written: several directories may share one disk.
Status CheckRoom(const std::vector<UniqueFd>& roots, const scratch::Table& table) {
  struct Disk {
    uint64_t free_bytes = 0, needed_bytes = 0;
    std::set<std::string> directories;
  };
  std::map<dev_t, Disk> disks;
  std::vector<Disk*> disk_of(roots.size());
  for (size_t i = 0; i < roots.size(); ++i) {
    struct stat info = {};
    struct statvfs room = {};
    if (!roots[i].valid()) continue;
    if (::fstat(roots[i].get(), &info) != 0 || ::fstatvfs(roots[i].get(), &room) != 0)
      return FailErrno("looking at " + table.roots(static_cast<int>(i)));
    disk_of[i] = &disks[info.st_dev];
    disk_of[i]->free_bytes = room.f_bavail * room.f_frsize;
  }
  for (const scratch::Entry& entry : table.entries()) {
    Disk& disk = *disk_of[entry.root()];
    for (const scratch::Run& run : entry.runs()) disk.needed_bytes += run.size();
    if (!entry.runs().empty()) disk.directories.insert(table.roots(static_cast<int>(entry.root())));
  }
  for (const auto& [device, disk] : disks)
    if (disk.needed_bytes > disk.free_bytes)
      return Fail(
          Code::kNoSpace,
          fmt::format("the job's files in {} take {}, and on this node there are {} left for "
                      "them",
                      fmt::join(disk.directories, ", "), FormatBytes(disk.needed_bytes),
                      FormatBytes(disk.free_bytes)));
  return {};
}

// Data first, then attributes: a file may be read-only, and writing changes times.
Status Fill(const std::vector<UniqueFd>& roots, const scratch::Table& table, uint32_t stream,
            storage::PodReader& reader, unsigned threads) {
  const ScratchPieces pieces(table);
  return ForEachParallel(threads, pieces.count(), [&](size_t i) -> Status {
    static thread_local std::vector<std::byte> buffer(storage::kExtentBytes);
    const ScratchPiece piece = pieces.At(i);
    const scratch::Entry& entry = table.entries(static_cast<int>(piece.entry));
    const std::span data = std::span(buffer).first(piece.size_bytes);
    HOLDFAST_CHECK(reader.Read(stream, entry.stream_offset() + piece.offset, data));
    HOLDFAST_TRY(UniqueFd file, OpenBeneath(roots[entry.root()], entry.path(), O_WRONLY));
    Status written = WriteFullAt(file, data, piece.offset);
    if (written) written = file.Close();
    return written.transform_error(
        [&](Error error) { return std::move(error).Wrap("restoring " + InRoot(table, entry)); });
  });
}

Result<uint32_t> FindStream(const storage::PodReader& reader) {
  const auto& streams = reader.streams();
  for (uint32_t i = 0; i < streams.size(); ++i)
    if (streams[i].name == kScratchStream) return i;
  return Fail(Code::kCorrupt, "the checkpoint has no private files");
}

}  // namespace

Result<scratch::Table> ParseScratchTable(const std::string& bytes,
                                         const std::vector<std::string>& roots,
                                         const Identity& owner, uint64_t stream_bytes) {
  scratch::Table table;
  if (!table.ParseFromString(bytes) || table.version() != kScratchVersion)
    return Fail(Code::kCorrupt, "the table of private files cannot be read");
  for (const scratch::Entry& entry : table.entries())
    HOLDFAST_CHECK(CheckEntry(table, roots, entry, owner, stream_bytes));
  return table;
}

Result<scratch::Table> RestoreScratch(const Pod& pod, storage::PodReader& reader,
                                      unsigned threads) {
  const Identity& owner = pod.options().owner;
  HOLDFAST_TRY(const std::string bytes, reader.ReadImage(kScratchTable));
  HOLDFAST_TRY(const uint32_t stream, FindStream(reader));
  HOLDFAST_TRY(scratch::Table table, ParseScratchTable(bytes, ScratchRoots(pod.options()), owner,
                                                       reader.streams()[stream].size_bytes));

  HOLDFAST_TRY(const std::vector<UniqueFd> roots, OpenRoots(pod, table));
  HOLDFAST_CHECK(CheckRoom(roots, table));
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
