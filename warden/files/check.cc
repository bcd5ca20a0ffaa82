#include "warden/files/check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "base/duration.h"
#include "base/files.h"
#include "base/log.h"
#include "warden/files/scratch.h"
#include "warden/isolation/pod_files.h"

namespace holdfast::warden {
namespace {

Result<struct stat> StatInPod(const UniqueFd& pod_root, const std::string& path) {
  HOLDFAST_TRY(const UniqueFd file, OpenInPod(pod_root, path, O_PATH));
  struct stat info = {};
  if (::fstat(file.get(), &info) != 0) return FailErrno("looking at " + path);
  return info;
}

// Writing there speaks to the kernel (/proc/self/mem, oom_score_adj): nothing is to be kept of it,
// or synced, which fails.
bool IsKernels(const std::string& path) {
  return path.starts_with("/proc/") || path.starts_with("/sys/");
}

// fsync(2) through any descriptor writes all of the file's data. Files that their owner can
// neither read nor write now (opened, then chmod 000) are left to the kernel.
Status Sync(const UniqueFd& pod_root, const std::string& path) {
  auto file = OpenInPod(pod_root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) file = OpenInPod(pod_root, path, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) {
    log::Warn("file not synced", {{"path", path}, {"why", file.error().message()}});
    return {};
  }
  if (::fsync(file->get()) != 0) return FailErrno("syncing " + path);
  return {};
}

}  // namespace

Result<std::vector<storage::FileRecord>> RecordFiles(
    const Pod& pod, const std::vector<image::file_entry>& files,
    const std::vector<image::remap_file_path_entry>& deleted,
    const std::vector<std::string>& output_paths) {
  std::set<uint32_t> without_name;
  for (const auto& remap : deleted) without_name.insert(remap.orig_id());

  std::map<std::string, storage::FileRecord> records;
  for (const image::file_entry& file : files) {
    const image::reg_file_entry& reg = file.reg();
    if (!file.has_reg() || (reg.flags() & O_ACCMODE) == O_RDONLY ||
        IsScratch(pod.options(), reg.name()) || IsKernels(reg.name()) || !S_ISREG(reg.mode()) ||
        without_name.contains(reg.id()))
      continue;
    const bool append = (reg.flags() & O_APPEND) != 0;
    auto [at, is_new] = records.try_emplace(
        reg.name(),
        storage::FileRecord{.path = reg.name(), .size_bytes = reg.size(), .append = append});
    at->second.append = at->second.append && append;
  }

  HOLDFAST_TRY(const UniqueFd pod_root, OpenPodRoot(pod));
  const ScopedIdentity as_owner(pod.options().owner);
  std::set<std::pair<dev_t, ino_t>> outputs;
  for (const std::string& path : output_paths)
    if (const auto info = StatInPod(pod_root, path)) outputs.emplace(info->st_dev, info->st_ino);

  std::vector<storage::FileRecord> result;
  for (auto& [path, record] : records) {
    HOLDFAST_CHECK(Sync(pod_root, path));
    HOLDFAST_TRY(const struct stat info, StatInPod(pod_root, path));
    record.size_bytes = static_cast<uint64_t>(info.st_size);
    record.mtime_ns = ToNanoseconds(info.st_mtim);
    record.inode = info.st_ino;
    record.job_output = outputs.contains({info.st_dev, info.st_ino});
    result.push_back(record);
  }
  return result;
}

Status CheckUnchanged(const UniqueFd& root, const storage::FileRecord& record) {
  const auto info = StatInPod(root, record.path);
  if (!info && info.error().errno_value() == ENOENT)
    return Fail(Code::kChanged, record.path + " does not exist any more");
  if (!info) return std::unexpected(info.error());
  if (!S_ISREG(info->st_mode))
    return Fail(Code::kChanged, record.path + " is not a regular file any more");
  const auto size = static_cast<uint64_t>(info->st_size);
  if (size != record.size_bytes)
    return Fail(Code::kChanged, record.path + " has " + std::to_string(size) + " bytes, but had " +
                                    std::to_string(record.size_bytes) + " at the checkpoint");
  if (ToNanoseconds(info->st_mtim) != record.mtime_ns)
    return Fail(Code::kChanged, record.path + " was modified after the checkpoint, at " +
                                    FormatTimestamp(std::chrono::system_clock::time_point(
                                        std::chrono::nanoseconds(ToNanoseconds(info->st_mtim)))));
  return {};
}

}  // namespace holdfast::warden
