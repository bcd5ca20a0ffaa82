#include "spank-plugin/options.h"

#include <limits.h>

#include <algorithm>

#include "base/numbers.h"
#include "storage/urls/urls.h"

namespace holdfast::spank {
namespace {

std::unexpected<Error> Refuse(OptionId id, std::string_view value, std::string_view accepted) {
  return Fail(Code::kInvalid, "--" + std::string(kOptions[static_cast<size_t>(id)].name) + "=" +
                                  std::string(value) + ": accepted is " + std::string(accepted));
}

// "JOBID" or "JOBID:CKPT", both from 1.
bool IsCheckpointName(std::string_view name) {
  const size_t colon = name.find(':');
  const auto job = ParseNumber<uint32_t>(name.substr(0, colon));
  if (!job || *job == 0) return false;
  if (colon == std::string_view::npos) return true;
  const auto checkpoint = ParseNumber<uint32_t>(name.substr(colon + 1));
  return checkpoint && *checkpoint > 0;
}

constexpr std::string_view kRollbackPolicies[] = {"auto", "append", "all", "off"};

// "/PATH[:/PATH]".
bool IsDirectoryList(std::string_view list) {
  while (true) {
    std::string_view path = list.substr(0, list.find(':'));
    const bool last = path.size() == list.size();
    while (path.ends_with('/')) path.remove_suffix(1);
    const bool printable = std::ranges::none_of(
        path, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    const std::string whole = std::string(path) + "/";
    if (!path.starts_with('/') || !printable || path.size() >= PATH_MAX ||
        whole.find("/../") != whole.npos || whole.find("/./") != whole.npos)
      return false;
    if (last) return true;
    list.remove_prefix(list.find(':') + 1);
  }
}

}  // namespace

Status Options::SetCheckpoint(std::string_view value) {
  if (value.empty() || value == "on" || value == "off") {
    enabled_ = value != "off";
    interval_.reset();
    return {};
  }
  if (value == kAutoInterval) {
    enabled_ = true;
    interval_ = Interval{.automatic = true};
    return {};
  }
  const auto interval = ParseDuration(value);
  if (!interval || interval->count() == 0)
    return Refuse(OptionId::kCheckpoint, value,
                  "on, off, auto, or the time between checkpoints: minutes, minutes:seconds, "
                  "hours:minutes:seconds, days-hours[:minutes[:seconds]], or a number with s, m, h "
                  "or d, like 10m");
  enabled_ = true;
  interval_ = Interval{.every = *interval};
  return {};
}

Status Options::Set(OptionId id, std::string_view value) {
  switch (id) {
    case OptionId::kCheckpoint:
      return SetCheckpoint(value);
    case OptionId::kDirectory:
      // A blank would be cut by whoever splits the record of a job at blanks.
      if (value.contains(' ') || !storage::CheckUrl(value))
        return Refuse(id, value, storage::AcceptedUrls());
      directory_ = value;
      return {};
    case OptionId::kKeep:
      keep_ = ParseNumber<uint32_t>(value);
      if (!keep_ || *keep_ == 0) return Refuse(id, value, "a whole number from 1");
      return {};
    case OptionId::kRestoreFrom:
      if (!IsCheckpointName(value))
        return Refuse(id, value, "a job id, or JOBID:CHECKPOINT, as `holdfast list` shows them");
      restore_from_ = value;
      return {};
    case OptionId::kFiles:
      if (!IsDirectoryList(value))
        return Refuse(id, value,
                      "absolute paths of directories, with colons between them; not / itself, and "
                      "without . or .. in them");
      files_ = value;
      return {};
    case OptionId::kRollback:
      if (std::ranges::find(kRollbackPolicies, value) == std::end(kRollbackPolicies))
        return Refuse(id, value, "auto, append, all or off");
      rollback_ = value;
      return {};
  }
  return Fail(Code::kInternal, "an option that is not in the table");
}

Status Options::Check() const {
  if (enabled_ == false && !restore_from_.empty())
    return Fail(Code::kInvalid,
                "--restore-from and --checkpoint=off contradict each other: give one of them");
  return {};
}

}  // namespace holdfast::spank
