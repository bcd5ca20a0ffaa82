#include "protocol/job_options.h"

#include <limits.h>

#include <algorithm>

#include "base/numbers.h"
#include "storage/urls/urls.h"

namespace holdfast {
namespace {

constexpr std::string_view kVersionLine = "holdfast-options 1";

// The names of an enum's values are in the order of their numbers.
template <typename E>
std::optional<E> ParseName(std::span<const std::string_view> names, std::string_view text) {
  const auto found = std::ranges::find(names, text);
  if (found == names.end()) return std::nullopt;
  return static_cast<E>(found - names.begin());
}

template <typename E>
std::optional<std::string> NameOf(std::span<const std::string_view> names, std::optional<E> value) {
  if (!value) return std::nullopt;
  return std::string(names[static_cast<size_t>(*value)]);
}

// "slurm or hold"
std::string Alternatives(std::span<const std::string_view> names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 < names.size() ? ", " : " or ";
    text += names[i];
  }
  return text;
}

// Nothing that would break a line of the text, or of a log.
bool IsPrintable(std::string_view text) {
  return std::ranges::none_of(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool ParseCheckpoint(std::string_view value, JobOptions& options) {
  std::optional<Interval> interval;
  if (value == kAutoInterval) {
    interval = Interval{.automatic = true};
  } else if (!value.empty() && value != "on" && value != "off") {
    const auto every = ParseDuration(value);
    if (!every || every->count() == 0) return false;
    interval = Interval{.every = *every};
  }
  options.checkpoint = value != "off";
  options.interval = interval;
  return true;
}

std::optional<std::string> FormatCheckpoint(const JobOptions& options) {
  if (options.checkpoint == false) return "off";
  const Interval interval = options.interval.value_or(Interval{});
  if (interval.automatic) return std::string(kAutoInterval);
  if (interval.every.count() > 0) return std::to_string(interval.every.count()) + "s";
  if (options.checkpoint) return "on";
  return std::nullopt;
}

bool ParseDirectory(std::string_view value, JobOptions& options) {
  if (!storage::CheckUrl(value)) return false;
  options.directory = value;
  return true;
}

std::optional<std::string> FormatDirectory(const JobOptions& options) {
  if (options.directory.empty()) return std::nullopt;
  return options.directory;
}

bool ParseKeep(std::string_view value, JobOptions& options) {
  const auto keep = ParseNumber<uint32_t>(value);
  if (!keep || *keep == 0) return false;
  options.keep = keep;
  return true;
}

std::optional<std::string> FormatKeep(const JobOptions& options) {
  if (!options.keep) return std::nullopt;
  return std::to_string(*options.keep);
}

bool ParseRestoreFrom(std::string_view value, JobOptions& options) {
  const size_t colon = value.find(':');
  const auto job = ParseNumber<uint32_t>(value.substr(0, colon));
  if (!job || *job == 0) return false;
  CheckpointName name{.job = *job};
  if (colon != std::string_view::npos) {
    const auto checkpoint = ParseNumber<uint32_t>(value.substr(colon + 1));
    if (!checkpoint || *checkpoint == 0) return false;
    name.checkpoint = *checkpoint;
  }
  options.restore_from = name;
  return true;
}

std::optional<std::string> FormatRestoreFrom(const JobOptions& options) {
  if (!options.restore_from) return std::nullopt;
  const auto& [job, checkpoint] = *options.restore_from;
  return std::to_string(job) + (checkpoint == 0 ? "" : ":" + std::to_string(checkpoint));
}

bool ParseFiles(std::string_view value, JobOptions& options) {
  std::vector<std::string> directories;
  for (bool last = false; !last;) {
    const size_t colon = value.find(':');
    last = colon == std::string_view::npos;
    std::string_view path = value.substr(0, colon);
    while (path.ends_with('/')) path.remove_suffix(1);
    const std::string whole = std::string(path) + "/";
    if (!path.starts_with('/') || !IsPrintable(path) || path.size() >= PATH_MAX ||
        whole.contains("/../") || whole.contains("/./"))
      return false;
    directories.emplace_back(path);
    if (!last) value.remove_prefix(colon + 1);
  }
  options.files = std::move(directories);
  return true;
}

std::optional<std::string> FormatFiles(const JobOptions& options) {
  if (options.files.empty()) return std::nullopt;
  std::string list;
  for (const std::string& path : options.files) list += (list.empty() ? "" : ":") + path;
  return list;
}

bool ParseRollback(std::string_view value, JobOptions& options) {
  const auto policy = ParseName<RollbackPolicy>(kRollbackNames, value);
  if (policy) options.rollback = policy;
  return policy.has_value();
}

bool ParseFallbackOption(std::string_view value, JobOptions& options) {
  const auto fallback = ParseFallback(value);
  if (fallback) options.fallback = fallback;
  return fallback.has_value();
}

constexpr std::string_view kEnd = "end";
constexpr std::string_view kRequeue = "requeue";

bool ParseTimeLimit(std::string_view value, JobOptions& options) {
  if (value == kEnd) return options.renewals = 0, true;
  if (!value.starts_with(kRequeue)) return false;
  value.remove_prefix(kRequeue.size());
  if (value.empty()) return options.renewals = kWithoutEnd, true;
  const auto most = value.front() == ',' ? ParseNumber<uint32_t>(value.substr(1)) : std::nullopt;
  if (!most || *most == 0 || *most == kWithoutEnd) return false;
  options.renewals = most;
  return true;
}

std::optional<std::string> FormatTimeLimit(const JobOptions& options) {
  if (!options.renewals) return std::nullopt;
  if (*options.renewals == 0) return std::string(kEnd);
  if (*options.renewals == kWithoutEnd) return std::string(kRequeue);
  return std::string(kRequeue) + "," + std::to_string(*options.renewals);
}

constexpr JobOption kTable[] = {
    {.name = "checkpoint",
     .argument = "on|off|auto|INTERVAL",
     .argument_optional = true,
     .help = "save the job when it is preempted, and every INTERVAL (10m, 2h, or as --time), or as "
             "often as pays (auto)",
     .accepted = [] -> std::string {
       return "on, off, auto, or the time between checkpoints: minutes, minutes:seconds, "
              "hours:minutes:seconds, days-hours[:minutes[:seconds]], or a number with s, m, h or "
              "d, like 10m";
     },
     .parse = ParseCheckpoint,
     .format = FormatCheckpoint},
    {.name = "checkpoint-dir",
     .argument = "URL",
     .help = "where to save it: a directory that all nodes share, or an object store's URL",
     .accepted = storage::AcceptedUrls,
     .parse = ParseDirectory,
     .format = FormatDirectory},
    {.name = "checkpoint-keep",
     .argument = "N",
     .help = "how many checkpoints of the job to keep",
     .accepted = [] -> std::string { return "a whole number from 1"; },
     .parse = ParseKeep,
     .format = FormatKeep},
    {.name = "checkpoint-files",
     .argument = "PATH[:PATH]",
     .help = "directories whose files are saved and put back with the job",
     .accepted = [] -> std::string {
       return "absolute paths of directories, with colons between them; not / itself, and without "
              ". or .. in them";
     },
     .parse = ParseFiles,
     .format = FormatFiles},
    {.name = "checkpoint-rollback",
     .argument = "auto|append|all|off",
     .help = "which files a restore puts back: by content or length, those appended to, all by "
             "content, none",
     .accepted = [] { return Alternatives(kRollbackNames); },
     .parse = ParseRollback,
     .format = [](const JobOptions& options) { return NameOf(kRollbackNames, options.rollback); }},
    {.name = "checkpoint-fallback",
     .argument = "slurm|hold",
     .help = "what to do with the job if its nodes are taken before it was ever saved: what Slurm "
             "alone would do, or hold it",
     .accepted = [] { return Alternatives(kFallbackNames); },
     .parse = ParseFallbackOption,
     .format = [](const JobOptions& options) { return NameOf(kFallbackNames, options.fallback); }},
    {.name = "checkpoint-timelimit",
     .argument = "end|requeue[,MAX]",
     .help = "what to do with the job at its time limit: let it end, or save it shortly before and "
             "requeue it, at most MAX times, so that it goes on with a fresh limit",
     .accepted = [] -> std::string {
       return "end, requeue, or requeue,MAX with a whole number from 1";
     },
     .parse = ParseTimeLimit,
     .format = FormatTimeLimit},
    {.name = "restore-from",
     .argument = "JOBID[:CKPT]",
     .help = "start from a checkpoint of another job, its newest by default",
     .accepted = [] -> std::string {
       return "a job id, or JOBID:CHECKPOINT, as `holdfast list` shows them";
     },
     .parse = ParseRestoreFrom,
     .format = FormatRestoreFrom},
};

}  // namespace

std::optional<Fallback> ParseFallback(std::string_view text) {
  return ParseName<Fallback>(kFallbackNames, text);
}

std::string JobOption::environment() const {
  std::string variable = std::string("HOLDFAST_") + name;
  for (char& c : variable) {
    if (c == '-') c = '_';
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return variable;
}

std::string JobOption::usage() const {
  const std::string value = std::string("=") + argument;
  return std::string("--") + name + (argument_optional ? "[" + value + "]" : value);
}

std::span<const JobOption> JobOptionTable() { return kTable; }

const JobOption* FindOption(std::string_view name) {
  const auto* const found =
      std::ranges::find_if(kTable, [name](const JobOption& option) { return option.name == name; });
  return found == std::end(kTable) ? nullptr : found;
}

Status SetOption(const JobOption& option, std::string_view value, JobOptions& options) {
  if (option.parse(value, options)) return {};
  return Fail(Code::kInvalid, std::string("--") + option.name + "=" + std::string(value) +
                                  ": accepted is " + option.accepted());
}

Status CheckOptions(const JobOptions& options) {
  if (options.checkpoint == false && options.restore_from)
    return Fail(Code::kInvalid,
                "--restore-from and --checkpoint=off contradict each other: give one of them");
  // Whoever splits the record of a job at blanks would cut it.
  if (options.directory.contains(' '))
    return Fail(Code::kInvalid, "--checkpoint-dir=" + options.directory +
                                    ": a blank is not accepted; choose another directory");
  return {};
}

std::string EncodeOptions(const JobOptions& options) {
  std::string text = std::string(kVersionLine) + "\n";
  for (const JobOption& option : kTable)
    if (const auto value = option.format(options))
      text += std::string(option.name) + "=" + *value + "\n";
  for (const std::string& line : options.unknown) text += line + "\n";
  return text;
}

Result<JobOptions> DecodeOptions(std::string_view text) {
  const auto next_line = [&text] {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return line;
  };
  if (const std::string_view version = next_line(); version != kVersionLine)
    return Fail(Code::kUnsupported, "a job's options begin with '" + std::string(version) +
                                        "', and this program knows '" + std::string(kVersionLine) +
                                        "': install the same Holdfast on all machines");
  JobOptions options;
  while (!text.empty()) {
    const std::string_view line = next_line();
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos)
      return Fail(Code::kInvalid, "a job's options have a line without '=': " + std::string(line));
    if (const JobOption* const option = FindOption(line.substr(0, equals)))
      HOLDFAST_CHECK(SetOption(*option, line.substr(equals + 1), options));
    else
      options.unknown.emplace_back(line);
  }
  return options;
}

}  // namespace holdfast
