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
#include "warden/files/scratch_table.h"
#include "warden/files/tree.h"
#include "warden/isolation/pod_files.h"

namespace holdfast::warden {
namespace {

// Files begin at multiples of this in the stream.
constexpr uint64_t kAlignment = 4096;

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
    entry.set_mtime_ns(ToNanoseconds(info.st_mtim));
    if (S_ISLNK(info.st_mode)) return SetTarget(parent, name, entry);
    if (!S_ISREG(info.st_mode)) return {};
    entry.set_size(static_cast<uint64_t>(info.st_size));
    if (info.st_nlink > 1) {
      const auto [first, is_new] = same_files_.emplace(IdOf(info), path);
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
  std::map<FileId, std::string> same_files_;
  uint64_t stream_bytes_ = 0;
};

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

}  // namespace

Result<uint64_t> SaveScratch(const Pod& pod, const std::map<std::string, std::string>& names,
                             storage::PodWriter& writer, unsigned threads) {
  scratch::Table table;
  table.set_version(kScratchVersion);
  for (const std::string& root : ScratchRoots(pod.options())) table.add_roots(root);
  HOLDFAST_TRY(const std::vector<UniqueFd> roots, OpenRoots(pod, table));
  Walker walker(table);
  for (uint32_t i = 0; i < roots.size(); ++i) HOLDFAST_CHECK(walker.Walk(i, roots[i]));
  for (const scratch::Entry& entry : table.entries())
    HOLDFAST_CHECK(CheckOwner(table, entry, pod.options().owner));

  HOLDFAST_TRY(const uint32_t stream, writer.AddStream(kScratchStream));
  HOLDFAST_CHECK(writer.SetSize(stream, walker.stream_bytes()));
  const ScratchPieces pieces(table);
  const auto save = [&](size_t i) -> Status {
    static thread_local std::vector<std::byte> buffer(storage::kExtentBytes);
    const ScratchPiece piece = pieces.At(i);
    const scratch::Entry& entry = table.entries(static_cast<int>(piece.entry));
    const std::span data = std::span(buffer).first(piece.size_bytes);
    HOLDFAST_TRY(const UniqueFd file,
                 OpenBeneath(roots[entry.root()], entry.path(), O_RDONLY | O_NONBLOCK));
    HOLDFAST_CHECK(ReadFullAt(file, data, piece.offset));
    return writer.Put(stream, entry.stream_offset() + piece.offset, data);
  };
  HOLDFAST_CHECK(ForEachParallel(threads, pieces.count(), save));
  MarkLent(names, table);
  HOLDFAST_CHECK(writer.AddImage(kScratchTable, table.SerializeAsString()));
  return pieces.size_bytes();
}

}  // namespace holdfast::warden
