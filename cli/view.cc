#include "cli/view.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pwd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/duration.h"
#include "base/printable.h"
#include "cli/table.h"
#include "protocol/job_options.h"

namespace holdfast::cli {
namespace {

using nlohmann::json;

// The rest is in --json.
constexpr size_t kShownEvents = 40;

const json& Member(const json& object, const char* key) {
  static const json kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string Text(const json& object, const char* key) {
  const json& value = Member(object, key);
  return value.is_string() ? Printable(value.get<std::string>(), Newlines::kKeep) : "";
}

int64_t Number(const json& object, const char* key) {
  const json& value = Member(object, key);
  return value.is_number() ? value.get<int64_t>() : 0;
}

std::string Count(const json& object, const char* key) {
  return fmt::format("{}", Number(object, key));
}

// "-" for what has not happened.
std::string Duration(const json& object, const char* key) {
  const int64_t nanoseconds = Number(object, key);
  return nanoseconds == 0 ? "-" : FormatDuration(std::chrono::nanoseconds(nanoseconds));
}

std::string Bytes(const json& object, const char* key) {
  return FormatBytes(static_cast<unsigned long long>(Number(object, key)));
}

std::string Time(const json& object, const char* key, bool milliseconds = false) {
  const int64_t unix_ns = Number(object, key);
  if (unix_ns == 0) return "-";
  const auto seconds = static_cast<time_t>(unix_ns / 1'000'000'000);
  std::string text = fmt::format("{:%F %T}", fmt::localtime(seconds));
  if (milliseconds) text += fmt::format(".{:03}", unix_ns / 1'000'000 % 1000);
  return text;
}

std::string List(const json& object, const char* key) {
  const json& value = Member(object, key);
  std::vector<std::string> items;
  if (value.is_array())
    for (const json& item : value)
      items.push_back(item.is_string() ? Printable(item.get<std::string>(), Newlines::kKeep)
                                       : item.dump());
  return items.empty() ? "-" : fmt::format("{}", fmt::join(items, ","));
}

std::string UserName(int64_t uid) {
  const passwd* user = ::getpwuid(static_cast<uid_t>(uid));
  return user != nullptr ? user->pw_name : fmt::format("{}", uid);
}

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

// A text of several lines below its label.
std::string Indented(const std::string& text) {
  std::string indented;
  for (const char c : text) {
    indented += c;
    if (c == '\n') indented += "              ";
  }
  return indented;
}

std::string HowOften(const json& job, const json& options) {
  const bool automatic = Member(options, "auto_interval") == json(true);
  const int64_t interval = automatic ? Number(Member(job, "plan"), "interval_seconds")
                                     : Number(options, "interval_seconds");
  if (interval > 0)
    return "every " + FormatDuration(std::chrono::seconds(interval)) + " and when needed";
  return automatic ? "as often as pays, and when needed" : "when needed";
}

// Why it is saved so often, if Holdfast chose that, and how soon it would be safe.
std::string PlanText(const json& plan, bool automatic) {
  if (!plan.is_object()) return "";
  std::string text = automatic ? fmt::format("  interval    {}\n", Text(plan, "why")) : "";
  if (!Member(plan, "to_safe_ns").is_number()) return text;
  text += fmt::format("  safe in     {} if it is saved now, {} {}", Duration(plan, "to_safe_ns"),
                      Duration(plan, "to_safe_longest_ns"),
                      Number(plan, "interval_seconds") > 0 ? "at the end of the interval"
                                                           : "if all of it has changed");
  if (Member(plan, "notice_ns").is_number())
    text += fmt::format("; notice of a node's end is given {}{} before",
                        Member(plan, "notice_suffices") == json(false) ? "only " : "",
                        Duration(plan, "notice_ns"));
  return text + "\n";
}

// When Slurm ends it, and what is done about that.
std::string TimeLimitText(const json& limit) {
  if (!limit.is_object() || Member(limit, "renewals_most") == json(0)) return "";
  const json& most = Member(limit, "renewals_most");
  std::string text = fmt::format("  time limit  renewed {}{} times", Number(limit, "renewals"),
                                 most.is_number() ? " of " + most.dump() : "");
  if (Member(limit, "end_unix_ns").is_number())
    text += "; the present one ends at " + Time(limit, "end_unix_ns");
  if (Member(limit, "save_unix_ns").is_number())
    text += ", for which it is saved at " + Time(limit, "save_unix_ns");
  return text + "\n";
}

// As they would be given to sbatch, each with a blank before it.
std::string OptionsText(const json& options) {
  std::string text;
  for (const JobOption& option : JobOptionTable())
    if (const std::string value = Text(options, option.name); !value.empty())
      text += fmt::format(" --{}={}", option.name, value);
  return text;
}

// As squeue shows it.
std::string JobName(const json& job) {
  if (!Member(job, "array_job_id").is_number()) return Count(job, "job_id");
  return Count(job, "array_job_id") + "_" + Count(job, "array_task_id");
}

std::string HeaderText(const json& job) {
  const bool in_array = Member(job, "array_job_id").is_number();
  std::string text = fmt::format("job {}{} of {}: {}", JobName(job),
                                 in_array ? fmt::format(" ({})", Number(job, "job_id")) : "",
                                 UserName(Number(job, "uid")), Text(job, "state"));
  const std::string nodes = List(job, "nodes");
  if (nodes != "-") text += " on " + nodes;
  text += "\n";
  const json& options = Member(job, "options");
  if (options.is_object()) {
    text += fmt::format("  saved       {}, the newest {} kept in {}\n", HowOften(job, options),
                        Number(options, "keep"), Text(options, "directory"));
    text += TimeLimitText(Member(job, "time_limit"));
    text += PlanText(Member(job, "plan"), Member(options, "auto_interval") == json(true));
    if (const std::string given = OptionsText(options); !given.empty())
      text += fmt::format("  options    {}\n", given);
    if (Member(job, "requeue") == json(false))
      text +=
          "  requeue     no: its script is never started again, whatever Slurm's record says while "
          "it runs\n";
    if (const std::string rollback = Text(options, "rollback"); !rollback.empty())
      text += fmt::format(
          "  files       put back: {}{}\n", rollback,
          Text(options, "files").empty() ? "" : ", and all in " + Text(options, "files"));
  }
  if (const json& kept = Member(job, "kept_for_seconds"); kept.is_number())
    text += fmt::format(
        "  kept        its checkpoints, {}\n",
        kept == 0 ? "until `holdfast prune --expired` runs"
                  : "for " + FormatDuration(std::chrono::seconds(kept.get<int64_t>())) + " more");
  if (const json& from = Member(job, "restored_from"); from.is_object())
    text += fmt::format("  restored    from checkpoint {} of job {}\n", Number(from, "checkpoint"),
                        Number(from, "job_id"));
  if (const std::string excluded = List(job, "excluded_nodes"); excluded != "-")
    text += fmt::format("  not on      {}\n", excluded);
  if (const std::string error = Text(job, "last_error"); !error.empty())
    text += fmt::format("  last error  {}\n", Indented(error));
  return text;
}

std::string CheckpointsText(const json& checkpoints) {
  Table table({">CHECKPOINT", "STATE", "REASON", "BEGUN", ">FROZEN", ">COMMITTED", ">DATA",
               ">STORED", ">PROCESSES", "ERROR"});
  for (const json& checkpoint : checkpoints)
    table.Add({Count(checkpoint, "number"), Text(checkpoint, "state"), Text(checkpoint, "reason"),
               Time(checkpoint, "begun_unix_ns"), Duration(checkpoint, "frozen_ns"),
               Duration(checkpoint, "commit_ns"), Bytes(checkpoint, "raw_bytes"),
               Bytes(checkpoint, "stored_bytes"), Count(checkpoint, "processes"),
               FirstLine(Text(checkpoint, "error"))});
  return table.empty() ? "" : "\n" + table.ToString();
}

std::string MovesText(const json& moves) {
  Table table({">MOVE", "REASON", ">CHECKPOINT", "FROM", "TO", "LEFT", ">REQUEUE", ">PENDING",
               ">RESTORE", ">TOTAL"});
  for (const json& move : moves)
    table.Add({Count(move, "number"), Text(move, "reason"), Count(move, "checkpoint"),
               List(move, "from"), List(move, "to"), Time(move, "left_unix_ns"),
               Duration(move, "requeue_ns"), Duration(move, "pending_ns"),
               Duration(move, "restore_ns"), Duration(move, "total_ns")});
  return table.empty() ? "" : "\n" + table.ToString();
}

std::string EventsText(const json& events) {
  const size_t hidden = events.size() > kShownEvents ? events.size() - kShownEvents : 0;
  Table table({"TIME", "EVENT", ">TOOK", "WHERE", "DETAIL"});
  for (size_t i = hidden; i < events.size(); ++i) {
    const json& event = events[i];
    std::string where = "coordinator";
    if (Member(event, "pod").is_number())
      where = fmt::format("pod {} on {}", Number(event, "pod"), Text(event, "node"));
    table.Add({Time(event, "unix_ns", true), Text(event, "name"), Duration(event, "duration_ns"),
               where, FirstLine(Text(event, "detail"))});
  }
  if (table.empty()) return "";
  return "\n" + table.ToString() +
         (hidden > 0 ? fmt::format("({} earlier ones: --json)\n", hidden) : "");
}

}  // namespace

std::string JobListText(const json& answer) {
  Table table({">JOB", "USER", "STATE", ">CHECKPOINT", ">MOVES", "NODES", "LAST ERROR"});
  for (const json& job : Member(answer, "jobs")) {
    const json& saved = Member(job, "checkpoints");
    table.Add({JobName(job), UserName(Number(job, "uid")), Text(job, "state"),
               saved.is_array() && !saved.empty() ? saved.back().dump() : "-", Count(job, "moves"),
               List(job, "nodes"), FirstLine(Text(job, "last_error"))});
  }
  return table.ToString();
}

std::string JobText(const json& job) {
  return HeaderText(job) + CheckpointsText(Member(job, "checkpoints")) +
         MovesText(Member(job, "moves")) + EventsText(Member(job, "events"));
}

std::string WhyText(const json& job) {
  std::string text = fmt::format("job {} of {}: {}", JobName(job), UserName(Number(job, "uid")),
                                 Text(job, "state"));
  const std::string nodes = List(job, "nodes");
  text += (nodes == "-" ? "" : " on " + nodes) + "\n";
  std::string before;
  for (const json& each : Member(job, "why")) {
    const std::string about = Text(each, "about");
    const std::string time = Time(each, "unix_ns");
    text += fmt::format("  {:<12}{}{}\n", about == before ? "" : about,
                        Indented(Text(each, "text")), time == "-" ? "" : " (" + time + ")");
    if (const std::string next = Text(each, "next"); !next.empty())
      text += fmt::format("              next: {}\n", next);
    before = about;
  }
  return text;
}

std::string CheckpointText(const json& checkpoint) {
  return fmt::format("checkpoint {} {} in {}: {} of {} processes, {} stored",
                     Number(checkpoint, "number"), Text(checkpoint, "state"),
                     Duration(checkpoint, "commit_ns"), Bytes(checkpoint, "raw_bytes"),
                     Number(checkpoint, "processes"), Bytes(checkpoint, "stored_bytes"));
}

std::string PrunedText(const json& answer) {
  const json& removed = Member(answer, "removed");
  return fmt::format("job {}: removed {}; kept {}; {} freed in {}\n", Number(answer, "job_id"),
                     removed.empty() ? "no checkpoint" : "checkpoints " + List(answer, "removed"),
                     Member(answer, "kept").empty() ? "none" : List(answer, "kept"),
                     Bytes(answer, "freed_bytes"), Text(answer, "directory"));
}

std::string ExpiredText(const json& answer) {
  std::string text;
  for (const json& job : Member(answer, "jobs")) {
    const std::string error = Text(job, "error");
    // The wardens remove what a good end leaves: there is nothing to tell unless they could not.
    if (error.empty() && Member(job, "freed_bytes") == 0) continue;
    text += fmt::format("job {}: ", Number(job, "job_id"));
    text += error.empty() ? fmt::format("removed, {} freed in {}\n", Bytes(job, "freed_bytes"),
                                        Text(job, "directory"))
                          : fmt::format("not removed: {}\n", error);
  }
  return text;
}

std::string VerifiedText(const json& answer) {
  const bool authenticated = Member(answer, "authenticated") == true;
  std::string text;
  for (const json& checkpoint : Member(answer, "checkpoints")) {
    text += fmt::format("job {}, checkpoint {}: {}", Number(answer, "job_id"),
                        Number(checkpoint, "number"), Text(checkpoint, "state"));
    if (const std::string error = Text(checkpoint, "error"); !error.empty()) {
      text += fmt::format(": {}\n", error);
      continue;
    }
    text += fmt::format(", {} pods, {} of data, {} read\n", Number(checkpoint, "pods"),
                        Bytes(checkpoint, "raw_bytes"), Bytes(checkpoint, "read_bytes"));
    if (Member(checkpoint, "contents") != true)
      text +=
          "  not checked: its contents, which are encrypted; root on a compute node has the key\n";
  }
  text += authenticated ? "checked: that the manifests are authentic, and all digests\n"
                        : "checked: all digests; not that the manifests are authentic, for which "
                          "root has the key\n";
  return text;
}

std::string EvacuationText(const json& answers) {
  std::string text;
  for (const json& answer : answers) {
    const size_t jobs = Member(answer, "jobs").size();
    text += fmt::format("{}: {}\n", Text(answer, "node"),
                        jobs == 0   ? std::string("drained; no checkpointed job was there")
                        : jobs == 1 ? fmt::format("job {} is leaving", List(answer, "jobs"))
                                    : fmt::format("jobs {} are leaving", List(answer, "jobs")));
  }
  return text;
}

}  // namespace holdfast::cli
