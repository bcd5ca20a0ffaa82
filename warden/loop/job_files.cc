#include "warden/loop/job_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/duration.h"
#include "base/files.h"
#include "base/log.h"
#include "base/printable.h"
#include "warden/files/scratch.h"
#include "warden/isolation/pod_files.h"

namespace holdfast::warden {
namespace {

// gRPC's default for a message received is 4 MiB.
constexpr size_t kCommitFilesBytes = 2 << 20;
constexpr size_t kNamedFiles = 5;  // in an event

std::string CheckpointDirectory(const Job& job) {
  const std::string& url = job.options.directory;
  if (url.starts_with("/")) return url;
  constexpr std::string_view kFile = "file://";
  return url.starts_with(kFile) ? url.substr(kFile.size()) : "";
}

RollbackPolicy PolicyOf(const Job& job) {
  return job.options.rollback.value_or(RollbackPolicy::kAuto);
}

// Without those in the pod's own directories, which are saved anyway.
std::vector<std::string> SharedDirectories(const Pod& pod, std::vector<std::string> directories) {
  std::erase_if(directories,
                [&](const std::string& path) { return IsScratch(pod.options(), path); });
  return directories;
}

storage::FileRecord ToRecord(const v1::OpenFile& file) {
  return {.path = file.path(),
          .size_bytes = file.size_bytes(),
          .inode = file.inode(),
          .append = file.append(),
          .job_output = file.job_output()};
}

}  // namespace

RollbackOptions RollbackOptionsOf(const Job& job, uint32_t checkpoint) {
  return {.policy = PolicyOf(job),
          .leader = job.pod() == 0,
          .job_id = job.id(),
          .checkpoint = checkpoint,
          .excluded = CheckpointDirectory(job)};
}

size_t DescribeFiles(const std::vector<storage::FileRecord>& files, uint32_t pods, v1::Part& part) {
  size_t room = kCommitFilesBytes / std::max(1U, pods);
  part.clear_files();
  for (const storage::FileRecord& record : files) {
    v1::OpenFile file;
    file.set_path(record.path);
    file.set_size_bytes(record.size_bytes);
    file.set_inode(record.inode);
    file.set_append(record.append);
    file.set_job_output(record.job_output);
    const size_t size = file.ByteSizeLong() + 4;
    if (size > room) return files.size() - static_cast<size_t>(part.files_size());
    room -= size;
    *part.add_files() = std::move(file);
  }
  return 0;
}

Result<std::optional<storage::PartSummary>> SaveFiles(const Job& job, const Pod& pod,
                                                      storage::JobStore& store,
                                                      const v1::Commit& commit,
                                                      const storage::WriteOptions& options,
                                                      const EventSink& events) {
  const RollbackPolicy policy = PolicyOf(job);
  if (policy == RollbackPolicy::kOff || policy == RollbackPolicy::kAppend) return std::nullopt;
  const auto begin = std::chrono::steady_clock::now();
  const CaptureOptions capture{.policy = policy,
                               .directories = SharedDirectories(pod, job.options.files),
                               .excluded = CheckpointDirectory(job),
                               .bytes_limit = job.config.checkpoint.files_limit_bytes,
                               .count_limit = job.config.checkpoint.files_count,
                               .threads = options.threads};
  std::vector<storage::FileRecord> files;
  bool any = !capture.directories.empty();
  for (const v1::Part& part : commit.parts())
    for (const v1::OpenFile& file : part.files()) {
      files.push_back(ToRecord(file));
      any |= !file.job_output() && (!file.append() || policy == RollbackPolicy::kAll);
    }
  if (!any) return std::nullopt;

  const auto save = [&]() -> Result<std::optional<storage::PartSummary>> {
    HOLDFAST_TRY(const auto writer,
                 store.Write(commit.checkpoint(), job.environment.pods, options));
    HOLDFAST_TRY(const UniqueFd root, OpenPodRoot(pod));
    HOLDFAST_TRY(const CaptureSummary summary,
                 CaptureFiles(root, job.owner(), files, capture, *writer));
    writer->SetInfo({.node = job.environment.node, .owner = job.owner()});
    HOLDFAST_TRY(const storage::PartSummary part, writer->Finish());
    events("files", std::chrono::steady_clock::now() - begin,
           fmt::format("{} in {} files read, {} files unchanged, {} stored",
                       FormatBytes(summary.read_bytes), summary.read, summary.kept,
                       FormatBytes(part.stored_bytes)));
    if (const auto& skipped = summary.skipped; !skipped.empty()) {
      const auto named = static_cast<ptrdiff_t>(std::min(skipped.size(), kNamedFiles));
      events("files-skipped", {},
             fmt::format("{}: {}", skipped.size(),
                         fmt::join(skipped.begin(), skipped.begin() + named, "; ")));
    }
    return part;
  };
  return save().transform_error(
      [](Error error) { return std::move(error).Wrap("storing the job's files"); });
}

Status TellJob(const Job& job, const Pod& pod, const std::string& text) {
  if (job.output_paths.empty()) return {};
  const std::string& path = job.output_paths[0];
  HOLDFAST_TRY(const UniqueFd root, OpenPodRoot(pod));
  const ScopedIdentity as_owner(pod.options().owner);
  HOLDFAST_TRY(const UniqueFd file,
               OpenInPod(root, path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY));
  struct stat info = {};
  if (::fstat(file.get(), &info) != 0) return FailErrno("looking at " + path);
  if (!S_ISREG(info.st_mode)) return {};
  return WriteFull(file, AsBytes("holdfast: " + Printable(text, Newlines::kKeep) + "\n"));
}

}  // namespace holdfast::warden
