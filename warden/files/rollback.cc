#include "warden/files/rollback.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <set>

#include "base/files.h"
#include "warden/files/check.h"
#include "warden/files/put_back.h"
#include "warden/files/tree.h"
#include "warden/isolation/pod_files.h"

namespace holdfast::warden {
namespace {

constexpr size_t kNamedFiles = 5;  // in a summary

class Rollback {
 public:
  Rollback(const UniqueFd& root, storage::PodReader* files, const RollbackOptions& options)
      : root_(root), files_(files), options_(options) {}

  Status LoadTable() {
    const bool by_content =
        options_.policy == RollbackPolicy::kAuto || options_.policy == RollbackPolicy::kAll;
    if (!files_ || !by_content) return {};
    HOLDFAST_TRY(const std::string bytes, files_->ReadImage(kFilesTable));
    HOLDFAST_TRY(table_, ParseFilesTable(bytes));
    for (const rollback::File& file : table_.files())
      if (file.root() == 0) open_files_[file.path()] = &file;
    for (uint32_t i = 0; i < files_->streams().size(); ++i) streams_[files_->streams()[i].name] = i;
    return {};
  }

  Status PutBackOpenFile(const storage::FileRecord& record) {
    const auto entry = open_files_.find(record.path);
    if (entry != open_files_.end() && entry->second->stored())
      return PutBackContents(*entry->second);
    if (record.job_output) {
      HOLDFAST_TRY(const bool cut, CutBack(root_, record));
      report_.output_cut |= cut;
      return {};
    }
    if (record.append && options_.policy != RollbackPolicy::kOff) {
      HOLDFAST_TRY(const bool cut, CutBack(root_, record));
      if (cut) report_.cut.push_back(record.path);
      return {};
    }
    return CheckUnchanged(root_, record);
  }

  Status PutBackDirectories() {
    for (int i = 0; i < table_.roots_size(); ++i) HOLDFAST_CHECK(PutBackDirectory(i));
    return {};
  }

  RollbackReport TakeReport() { return std::move(report_); }

 private:
  PutBackTarget Target() const {
    return {.set_aside_name =
                fmt::format("{}{}-{}", kSetAsidePrefix, options_.job_id, options_.checkpoint),
            .threads = options_.threads};
  }

  Status Report(const PutBackResult& done, const std::string& path) {
    if (!done.set_aside.empty()) report_.set_aside.push_back(done.set_aside);
    if (done.what == PutBackResult::kCreated) report_.created.push_back(path);
    if (done.what == PutBackResult::kRewritten) report_.rewritten.push_back(path);
    return {};
  }

  Result<uint32_t> StreamIndex(const rollback::File& file) const {
    const auto found = streams_.find(StreamOf(table_, file));
    if (found != streams_.end() && files_->streams()[found->second].size_bytes == file.size())
      return found->second;
    return Fail(Code::kCorrupt, "the checkpoint does not have the contents of " +
                                    PathOf(table_, file) + ", though its table says so");
  }

  Status PutBackContents(const rollback::File& file) {
    HOLDFAST_TRY(const uint32_t stream, StreamIndex(file));
    HOLDFAST_TRY(const PutBackResult done,
                 PutBack(root_, PathOf(table_, file), file, *files_, stream, Target()));
    return Report(done, PathOf(table_, file));
  }

  Status PutBackDirectory(int index) {
    const rollback::Root& root = table_.roots(index);
    const auto directory = OpenInPod(root_, root.path(), O_RDONLY | O_DIRECTORY);
    struct stat info = {};
    if (!directory || ::fstat(directory->get(), &info) != 0 || info.st_ino != root.inode())
      return Fail(Code::kChanged, root.path() +
                                      " (--checkpoint-files) is not the directory that it was at "
                                      "the checkpoint");
    std::set<std::string> known;
    for (const rollback::File& file : table_.files()) {
      if (file.root() != static_cast<uint32_t>(index) + 1) continue;
      known.insert(file.path());
      if (file.open()) continue;  // whoever had it open puts it back
      if (!file.stored()) {
        HOLDFAST_CHECK(CheckNotStored(*directory, file));
        continue;
      }
      HOLDFAST_TRY(const uint32_t stream, StreamIndex(file));
      HOLDFAST_TRY(PutBackResult done,
                   PutBack(*directory, file.path(), file, *files_, stream, Target()));
      if (!done.set_aside.empty()) done.set_aside = root.path() + "/" + done.set_aside;
      HOLDFAST_CHECK(Report(done, PathOf(table_, file)));
    }
    if (!root.complete()) return {};
    // First found, then moved: the walk must not meet what it has moved.
    std::vector<std::string> newer;
    const auto excluded = IdOfDirectory(root_, options_.excluded);
    HOLDFAST_CHECK(WalkTree(*directory, excluded, [&](const FoundFile& found) -> Status {
      if (!known.contains(found.path)) newer.push_back(found.path);
      return {};
    }));
    for (const std::string& path : newer) {
      HOLDFAST_TRY(const std::string place, SetAside(*directory, path, Target().set_aside_name));
      report_.set_aside.push_back(root.path() + "/" + place);
    }
    return {};
  }

  // A file whose contents are not in the checkpoint, because of the limits, must be as it was.
  Status CheckNotStored(const UniqueFd& directory, const rollback::File& file) const {
    const auto open = OpenBeneath(directory, file.path(), O_PATH);
    struct stat info = {};
    if (open && ::fstat(open->get(), &info) == 0 && info.st_ino == file.inode() &&
        static_cast<uint64_t>(info.st_size) == file.size() &&
        ToNanoseconds(info.st_mtim) == file.mtime_ns())
      return {};
    return Fail(Code::kChanged,
                PathOf(table_, file) +
                    " has changed since the checkpoint, which does not have its contents: see "
                    "checkpoint.files_limit");
  }

  const UniqueFd& root_;
  storage::PodReader* const files_;
  const RollbackOptions& options_;
  rollback::Table table_;
  std::map<std::string, const rollback::File*> open_files_;
  std::map<std::string, uint32_t> streams_;
  RollbackReport report_;
};

std::string Named(const char* what, const std::vector<std::string>& paths) {
  const size_t named = std::min(paths.size(), kNamedFiles);
  std::string text = fmt::format(
      "{} {}", what, fmt::join(paths.begin(), paths.begin() + static_cast<ptrdiff_t>(named), ", "));
  if (named < paths.size()) text += fmt::format(" and {} more", paths.size() - named);
  return text;
}

}  // namespace

std::string RollbackReport::Summary(uint32_t checkpoint) const {
  const size_t count = rewritten.size() + cut.size() + created.size();
  if (count == 0 && set_aside.empty()) return "";
  std::string text = fmt::format("put back {} {} to checkpoint {}", count,
                                 count == 1 ? "file" : "files", checkpoint);
  const char* separator = ": ";
  for (const auto& [what, paths] :
       {std::pair{"rewrote", &rewritten}, std::pair{"cut back", &cut},
        std::pair{"made again", &created}, std::pair{"set aside newer as", &set_aside}}) {
    if (paths->empty()) continue;
    text += separator + Named(what, *paths);
    separator = "; ";
  }
  return text;
}

Result<RollbackReport> RollBackFiles(const UniqueFd& root, const Identity& owner,
                                     const std::vector<storage::FileRecord>& open_files,
                                     storage::PodReader* files, const RollbackOptions& options) {
  const ScopedIdentity as_owner(owner);
  Rollback rollback(root, files, options);
  HOLDFAST_CHECK(rollback.LoadTable());
  for (const storage::FileRecord& record : open_files)
    HOLDFAST_CHECK(rollback.PutBackOpenFile(record));
  if (options.leader) HOLDFAST_CHECK(rollback.PutBackDirectories());
  return rollback.TakeReport();
}

}  // namespace holdfast::warden
