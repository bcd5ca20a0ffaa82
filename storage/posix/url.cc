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

Status Find(std::string_view url, uint32_t job, uint32_t checkpoint) {
  const std::string base(DirectoryOf(url));
  const std::string directory = base + "/" + std::to_string(job);
  const std::string of_job = "job " + std::to_string(job);
  if (::access(base.c_str(), X_OK) != 0) return {};  // of the nodes alone, it may be
  struct stat info = {};
  if (::stat(directory.c_str(), &info) != 0)
    return errno == ENOENT ? Fail(Code::kNotFound, of_job + " has no checkpoint in " + base)
                           : Status();
  if (info.st_uid != ::geteuid() && ::geteuid() != 0)
    return Fail(Code::kDenied, "the checkpoints of " + of_job + " in " + base + " are not yours");
  const auto names = ListDirectory(directory);
  if (!names) return {};
  const bool found = std::ranges::any_of(*names, [checkpoint](const std::string& name) {
    const uint32_t number = CheckpointOf(name);
    return number != 0 && (checkpoint == 0 || number == checkpoint);
  });
  if (found) return {};
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
