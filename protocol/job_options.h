// What a job asks of Holdfast: sbatch's options as one struct, from the plugin, which reads them,
// by way of the warden, which fills in what the site says, to the coordinator and its journal. One
// table says all there is to say about each option; whatever registers, checks, carries or shows
// options goes by it.
//
// Pure, and libc only, because the plugin is loaded into Slurm's processes. Thread-safe as values
// are.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "base/result.h"

namespace holdfast {

// --checkpoint-rollback: which files a restore puts back.
enum class RollbackPolicy {
  kAuto,    // files only appended to by length, others by content
  kAppend,  // files only appended to; a change of any other holds the job
  kAll,     // all by content
  kOff,     // nothing but the job's own output
};
inline constexpr std::array<std::string_view, 4> kRollbackNames{"auto", "append", "all", "off"};

// --checkpoint-fallback: what becomes of a job that was never saved and whose nodes are taken.
enum class Fallback {
  kSlurm,  // what Slurm alone would have done: --requeue starts it over, --no-requeue ends it
  kHold,   // it is held
};
inline constexpr std::array<std::string_view, 2> kFallbackNames{"slurm", "hold"};
std::optional<Fallback> ParseFallback(std::string_view text);

// --checkpoint-timelimit: a job that may be saved at its time limit and requeued without end.
inline constexpr uint32_t kWithoutEnd = UINT32_MAX;

// --restore-from: a checkpoint of some job.
struct CheckpointName {
  uint32_t job = 0;
  uint32_t checkpoint = 0;  // 0: the newest

  bool operator==(const CheckpointName&) const = default;
};

// Empty is what was not said.
struct JobOptions {
  std::optional<bool> checkpoint;
  std::optional<Interval> interval;
  std::string directory;  // a URL
  std::optional<uint32_t> keep;
  std::optional<CheckpointName> restore_from;
  std::vector<std::string> files;  // directories, without a slash at the end
  std::optional<RollbackPolicy> rollback;
  std::optional<Fallback> fallback;
  // How often it is saved and requeued at its time limit; 0: it ends there.
  std::optional<uint32_t> renewals;
  // Lines of a newer Holdfast's text, kept as they came.
  std::vector<std::string> unknown;

  bool operator==(const JobOptions&) const = default;

  bool enabled() const { return checkpoint.value_or(restore_from.has_value()); }
};

struct JobOption {
  const char* name;      // on the command line, without dashes
  const char* argument;  // as --help shows it
  bool argument_optional;
  const char* help;
  std::string (*accepted)();  // for messages: "a whole number from 1"
  // Sets what the option sets; false if the value is not accepted, and nothing is changed then. An
  // optional argument that is missing is the empty value.
  bool (*parse)(std::string_view value, JobOptions& options);
  // A value that `parse` reads back; nothing if the option was not given. In one line.
  std::optional<std::string> (*format)(const JobOptions& options);

  // The variable that sets it as well: HOLDFAST_ and the name.
  std::string environment() const;
  // "--name[=ARGUMENT]"
  std::string usage() const;
};

std::span<const JobOption> JobOptionTable();
// Null if there is none of that name.
const JobOption* FindOption(std::string_view name);

// A later value of an option replaces an earlier one. kInvalid names the option, the value and what
// is accepted.
Status SetOption(const JobOption& option, std::string_view value, JobOptions& options);
// Whether what a user has asked for makes sense together.
Status CheckOptions(const JobOptions& options);

// A first line with the format's version, then NAME=VALUE for each option that was given. Carried
// in the warden's environment, in Hello and in the journal (docs/formats/job-options.md).
std::string EncodeOptions(const JobOptions& options);
// kUnsupported if it is of another version, kInvalid if a value is not accepted.
Result<JobOptions> DecodeOptions(std::string_view text);

}  // namespace holdfast
