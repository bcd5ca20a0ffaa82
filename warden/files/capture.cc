#include "warden/files/capture.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <set>

#include "base/files.h"
#include "base/log.h"
#include "base/parallel.h"
#include "warden/files/tree.h"
#include "warden/isolation/pod_files.h"

namespace holdfast::warden {
namespace {

constexpr uint64_t kStatBlockBytes = 512;  // st_blocks, stat(2)

struct Piece {
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
};

// Where the file has data, cut at multiples of an extent, so that the next checkpoint finds the
// same pieces.
Result<std::vector<Piece>> FindPieces(const UniqueFd& file, uint64_t size) {
  std::vector<Piece> pieces;
  for (off_t at = 0; at < static_cast<off_t>(size);) {
    const off_t data = ::lseek(file.get(), at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // only a hole is left
    if (data < 0) return FailErrno("looking for data");
    const off_t hole = ::lseek(file.get(), data, SEEK_HOLE);
    if (hole < 0) return FailErrno("looking for holes");
    const uint64_t end = std::min(static_cast<uint64_t>(hole), size);
    for (auto begin = static_cast<uint64_t>(data); begin < end;) {
      const uint64_t cut =
          std::min(end, (begin / storage::kExtentBytes + 1) * storage::kExtentBytes);
      pieces.push_back({.offset = begin, .size_bytes = cut - begin});
      begin = cut;
    }
    at = hole;
  }
  return pieces;
}

bool SameFile(const rollback::File& a, const rollback::File& b) {
  return a.stored() && a.size() == b.size() && a.inode() == b.inode() &&
         a.mtime_ns() == b.mtime_ns() && a.ctime_ns() == b.ctime_ns();
}

class Capture {
 public:
  Capture(const UniqueFd& root, const CaptureOptions& options, storage::PodWriter& writer)
      : root_(root), options_(options), writer_(writer) {
    table_.set_version(kFilesTableVersion);
    const auto previous = writer.PreviousImage(kFilesTable);
    if (!previous) return;
    const auto table = ParseFilesTable(*previous);
    if (!table) log::Failure("previous-files", table.error());  // all is read again
    if (!table) return;
    for (const rollback::File& file : table->files()) previous_[PathOf(*table, file)] = file;
  }

  Status AddOpenFile(const storage::FileRecord& record) {
    if (!seen_paths_.insert(record.path).second) return {};
    const auto file = OpenDirectlyInPod(root_, record.path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (!file) return Skip(record.path, file.error().message());
    struct stat info = {};
    if (::fstat(file->get(), &info) != 0) return FailErrno("looking at " + record.path);
    if (!S_ISREG(info.st_mode) || info.st_ino != record.inode)
      return Skip(record.path, "not the file that the job has open, seen from the first node");
    open_.insert(IdOf(info));
    if (record.job_output || (record.append && options_.policy != RollbackPolicy::kAll)) return {};
    if (static_cast<uint64_t>(info.st_size) != record.size_bytes)
      return Skip(record.path, "it has another size, seen from the first node");
    rollback::File entry = Describe(record.path, info);
    return Store(*file, info, entry);
  }

  Status AddDirectory(const std::string& path) {
    const auto directory = OpenInPod(root_, path, O_RDONLY | O_DIRECTORY);
    if (!directory) return Skip(path, directory.error().message());
    struct stat about = {};
    if (::fstat(directory->get(), &about) != 0) return FailErrno("looking at " + path);
    rollback::Root& root = *table_.add_roots();
    root.set_path(path);
    root.set_inode(about.st_ino);
    root.set_complete(true);
    return WalkTree(
        *directory, IdOfDirectory(root_, options_.excluded), [&](const FoundFile& found) -> Status {
          if (static_cast<size_t>(table_.files_size()) >= options_.count_limit) {
            if (!root.complete()) return {};
            root.set_complete(false);
            return Skip(path, fmt::format("more than {} files", options_.count_limit));
          }
          const auto file = OpenBeneath(found.parent, found.name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
          struct stat info = found.info;
          if (file && (::fstat(file->get(), &info) != 0 || !S_ISREG(info.st_mode))) return {};
          rollback::File entry = Describe(found.path, info);
          entry.set_root(static_cast<uint32_t>(table_.roots_size()));
          entry.set_open(open_.contains(IdOf(info)));
          if (file && !entry.open()) return Store(*file, info, entry);
          const bool open = entry.open();
          *table_.add_files() = std::move(entry);
          if (open) return {};
          return Skip(path + "/" + found.path, file.error().message());
        });
  }

  Result<CaptureSummary> Finish() {
    HOLDFAST_CHECK(writer_.AddImage(kFilesTable, table_.SerializeAsString()));
    return std::move(summary_);
  }

 private:
  static rollback::File Describe(const std::string& path, const struct stat& info) {
    rollback::File entry;
    entry.set_path(path);
    entry.set_size(static_cast<uint64_t>(info.st_size));
    entry.set_inode(info.st_ino);
    entry.set_mtime_ns(ToNanoseconds(info.st_mtim));
    entry.set_ctime_ns(ToNanoseconds(info.st_ctim));
    entry.set_mode(info.st_mode & 07777);
    return entry;
  }

  Status Skip(const std::string& path, const std::string& why) {
    summary_.skipped.push_back(path + ": " + why);
    return {};
  }

  Status Store(const UniqueFd& file, const struct stat& info, rollback::File& entry) {
    const uint64_t bytes =
        std::min(entry.size(), static_cast<uint64_t>(info.st_blocks) * kStatBlockBytes);
    rollback::File& added = *table_.add_files();
    added = std::move(entry);
    const std::string path = PathOf(table_, added);
    if (bytes > options_.bytes_limit - std::min(options_.bytes_limit, used_bytes_) ||
        static_cast<size_t>(table_.files_size()) > options_.count_limit)
      return Skip(path, "beyond checkpoint.files_limit or checkpoint.files_count");
    used_bytes_ += bytes;
    added.set_stored(true);
    const std::string stream_name = StreamOf(table_, added);
    const auto before = previous_.find(path);
    const auto wrap = [&](Error error) { return std::move(error).Wrap("storing " + path); };
    if (before != previous_.end() && SameFile(before->second, added)) {
      HOLDFAST_TRY(const bool kept, writer_.KeepStream(stream_name).transform_error(wrap));
      summary_.kept += kept ? 1 : 0;
      if (kept) return {};
    }
    HOLDFAST_TRY(const uint32_t stream, writer_.AddStream(stream_name).transform_error(wrap));
    HOLDFAST_CHECK(writer_.SetSize(stream, added.size()));
    HOLDFAST_TRY(const std::vector<Piece> pieces,
                 FindPieces(file, added.size()).transform_error(wrap));
    const auto store = [&](size_t i) -> Status {
      static thread_local std::vector<std::byte> buffer(storage::kExtentBytes);
      const std::span data = std::span(buffer).first(pieces[i].size_bytes);
      HOLDFAST_CHECK(ReadFullAt(file, data, pieces[i].offset));
      return writer_.Put(stream, pieces[i].offset, data);
    };
    HOLDFAST_CHECK(ForEachParallel(options_.threads, pieces.size(), store).transform_error(wrap));
    ++summary_.read;
    for (const Piece& piece : pieces) summary_.read_bytes += piece.size_bytes;
    return {};
  }

  const UniqueFd& root_;
  const CaptureOptions& options_;
  storage::PodWriter& writer_;
  rollback::Table table_;
  std::map<std::string, rollback::File> previous_;
  std::set<std::string> seen_paths_;
  std::set<FileId> open_;
  uint64_t used_bytes_ = 0;
  CaptureSummary summary_;
};

}  // namespace

Result<CaptureSummary> CaptureFiles(const UniqueFd& root, const Identity& owner,
                                    const std::vector<storage::FileRecord>& open_files,
                                    const CaptureOptions& options, storage::PodWriter& writer) {
  const ScopedIdentity as_owner(owner);
  Capture capture(root, options, writer);
  for (const storage::FileRecord& record : open_files) HOLDFAST_CHECK(capture.AddOpenFile(record));
  for (const std::string& directory : options.directories)
    HOLDFAST_CHECK(capture.AddDirectory(directory));
  return capture.Finish();
}

}  // namespace holdfast::warden
