#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/files.h"
#include "base/numbers.h"
#include "storage/urls/urls.h"

namespace holdfast::storage::posix {
namespace {

constexpr std::string_view kScheme = "file://";

}  // namespace

std::string_view DirectoryOf(std::string_view url) {
  return url.starts_with(kScheme) ? url.substr(kScheme.size()) : url;
}

namespace {

// manifest-000017.h5 (docs/formats/storage.md); 0: another file.
uint32_t CheckpointOf(std::string_view name) {
  constexpr std::string_view kPrefix = "manifest-", kEnding = ".h5";
  if (!name.starts_with(kPrefix) || !name.ends_with(kEnding)) return 0;
  name.remove_prefix(kPrefix.size());
  name.remove_suffix(kEnding.size());
  return ParseNumber<uint32_t>(name).value_or(0);
}

// What a directory of the job's tells.
enum class Finding { kHasIt, kHasNot, kNotYours, kUnknown };

Finding Look(const std::string& directory, uint32_t checkpoint) {
  struct stat info = {};
  if (::stat(directory.c_str(), &info) != 0)
    return errno == ENOENT ? Finding::kHasNot : Finding::kUnknown;
  if (info.st_uid != ::geteuid() && ::geteuid() != 0) return Finding::kNotYours;
  const auto names = ListDirectory(directory);
  if (!names) return Finding::kUnknown;
  const bool found = std::ranges::any_of(*names, [checkpoint](const std::string& name) {
    const uint32_t number = CheckpointOf(name);
    return number != 0 && (checkpoint == 0 || number == checkpoint);
  });
  return found ? Finding::kHasIt : Finding::kHasNot;
}

Status Find(std::string_view url, std::string_view cluster, uint32_t id, uint32_t checkpoint) {
  const std::string base(DirectoryOf(url));
  const std::string of_job = "job " + std::to_string(id);
  if (::access(base.c_str(), X_OK) != 0) return {};  // of the nodes alone, it may be
  const auto places = ListDirectory(base);
  if (!places) return {};
  bool not_yours = false;
  for (const std::string& place : *places) {
    const auto job = ParseJobDirectory(place);
    if (!job || job->id != id || (!job->cluster.empty() && job->cluster != cluster)) continue;
    const Finding finding = Look(base + "/" + place, checkpoint);
    if (finding == Finding::kHasIt || finding == Finding::kUnknown) return {};
    not_yours |= finding == Finding::kNotYours;
  }
  if (not_yours)
    return Fail(Code::kDenied, "the checkpoints of " + of_job + " in " + base + " are not yours");
  return Fail(Code::kNotFound, of_job + " has no checkpoint " +
                                   (checkpoint == 0 ? "" : std::to_string(checkpoint) + " ") +
                                   "in " + base);
}

}  // namespace

extern const UrlForm kUrlForm;
constinit const UrlForm kUrlForm{
    .accepted = "/PATH, file:///PATH",
    .is_ours = [](std::string_view url) { return DirectoryOf(url).starts_with('/'); },
    .check = [](std::string_view) { return Status(); },
    .find = Find};

}  // namespace holdfast::storage::posix
