// What a job may ask of Holdfast: the options that sbatch takes, and what they accept. Pure: used
// by the plugin in whatever process it is loaded into, and by its tests. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/duration.h"
#include "base/result.h"

namespace holdfast::spank {

enum class OptionId { kCheckpoint, kDirectory, kKeep, kRestoreFrom, kFiles, kRollback };

struct OptionInfo {
  OptionId id;
  const char* name;  // on the command line, without dashes
  const char* argument;
  const char* help;
  int has_arg;              // as getopt_long(3) has it
  const char* environment;  // variable that sets it as well
};

inline constexpr std::array<OptionInfo, 6> kOptions{{
    {OptionId::kCheckpoint, "checkpoint", "on|off|auto|INTERVAL",
     "save the job when it is preempted, and every INTERVAL (10m, 2h, or as --time), or as often "
     "as "
     "pays (auto)",
     2, "HOLDFAST_CHECKPOINT"},
    {OptionId::kDirectory, "checkpoint-dir", "URL",
     "where to save it: a directory that all nodes share, or an object store's URL", 1,
     "HOLDFAST_CHECKPOINT_DIR"},
    {OptionId::kKeep, "checkpoint-keep", "N", "how many checkpoints of the job to keep", 1,
     "HOLDFAST_CHECKPOINT_KEEP"},
    {OptionId::kRestoreFrom, "restore-from", "JOBID[:CKPT]",
     "start from a checkpoint of another job, its newest by default", 1, "HOLDFAST_RESTORE_FROM"},
    {OptionId::kFiles, "checkpoint-files", "PATH[:PATH]",
     "directories whose files are saved and put back with the job", 1, "HOLDFAST_CHECKPOINT_FILES"},
    {OptionId::kRollback, "checkpoint-rollback", "auto|append|all|off",
     "which files a restore puts back: by content or length, those appended to, all by content, "
     "none",
     1, "HOLDFAST_CHECKPOINT_ROLLBACK"},
}};

// The options of one job, in the order they are met: a later one replaces an earlier one.
class Options {
 public:
  // kInvalid names the option, the value and what is accepted. An empty value is --checkpoint's
  // own, without argument.
  Status Set(OptionId id, std::string_view value);
  // Whether what was set makes sense together.
  Status Check() const;

  bool enabled() const { return enabled_.value_or(!restore_from_.empty()); }
  // Nothing: the site's default.
  std::optional<Interval> interval() const { return interval_; }
  const std::string& directory() const { return directory_; }
  std::optional<uint32_t> keep() const { return keep_; }
  const std::string& restore_from() const { return restore_from_; }
  const std::string& files() const { return files_; }
  const std::string& rollback() const { return rollback_; }

 private:
  Status SetCheckpoint(std::string_view value);

  std::optional<bool> enabled_;
  std::optional<Interval> interval_;
  std::string directory_;
  std::optional<uint32_t> keep_;
  std::string restore_from_;
  std::string files_;
  std::string rollback_;
};

}  // namespace holdfast::spank
