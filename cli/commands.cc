#include "cli/commands.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>
#include <optional>
#include <ostream>

#include "base/numbers.h"
#include "base/printable.h"
#include "cli/checkpoints.h"
#include "cli/doctor.h"
#include "cli/hostlist.h"
#include "cli/view.h"
#include "protocol/rest.h"

namespace holdfast::cli {
namespace {

using nlohmann::json;

// The longest that the coordinator lets a request wait for a checkpoint.
constexpr int kWaitSeconds = 600;

constexpr const char* kJobHelp = "job id, or ARRAY_TASK";

std::string Dump(const json& value) { return protocol::ToText(value, 2) + "\n"; }

struct Options {
  bool json = false;
  std::string job;  // its id, or ARRAY_TASK
  bool stop = false;
  std::string exclude;
  uint32_t count = 0;  // of nodes
  std::string nodes;
  std::string reason;
  uint32_t checkpoint = 0;
  bool from_start = false;
  Checkpoints::Request request;  // of prune and verify
  bool expired = false;
};

class Command {
 public:
  Command(const Environment& environment, Options options)
      : environment_(environment), options_(std::move(options)) {}

  Status List() {
    HOLDFAST_CHECK(Connect());
    HOLDFAST_TRY(const json answer, api_->Get("/v1/jobs"));
    Show(answer, JobListText);
    return {};
  }

  Status ShowJob() {
    HOLDFAST_CHECK(Connect());
    HOLDFAST_TRY(const json answer, api_->Get(Target("")));
    Show(answer, JobText);
    return {};
  }

  Status Save() {
    return Checkpoint("/save", {{"stop", options_.stop}}, options_.stop ? "; the job is held" : "");
  }

  Status Migrate() {
    HOLDFAST_TRY(json body, Where());
    return Checkpoint("/migrate", body, "; the job is being requeued");
  }

  Status Resume() {
    HOLDFAST_CHECK(Connect());
    HOLDFAST_TRY(json body, Where());
    if (options_.checkpoint != 0) body["checkpoint"] = options_.checkpoint;
    if (options_.from_start) body["from_start"] = true;
    HOLDFAST_TRY(const json answer, api_->Post(Target("/resume"), body));
    Show(answer, [this](const json&) { return fmt::format("job {} is released\n", options_.job); });
    return {};
  }

  Status Evacuate() {
    HOLDFAST_CHECK(Connect());
    HOLDFAST_TRY(const std::vector<std::string> nodes, ExpandHostlist(options_.nodes));
    json body = json::object();
    if (!options_.reason.empty()) body["reason"] = options_.reason;
    json answers = json::array();
    for (const std::string& node : nodes) {
      HOLDFAST_TRY(json answer, api_->Post(fmt::format("/v1/nodes/{}/evacuate", node), body));
      answers.push_back(std::move(answer));
    }
    Show(answers, EvacuationText);
    return {};
  }

  Status Prune() {
    HOLDFAST_CHECK(Connect());
    Checkpoints checkpoints(*config_, *api_, environment_.uid);
    if (!options_.expired) {
      HOLDFAST_TRY(const json answer, checkpoints.Prune(options_.request));
      Show(answer, PrunedText);
      return {};
    }
    HOLDFAST_TRY(const json answer, checkpoints.PruneExpired());
    Show(answer, ExpiredText);
    const auto failed = std::ranges::count_if(
        answer.at("jobs"), [](const json& job) { return job.at("error") != ""; });
    if (failed > 0)
      return Fail(Code::kInternal, fmt::format("of {} jobs, {} could not be removed; they will be "
                                               "tried again",
                                               answer.at("jobs").size(), failed));
    return {};
  }

  Status Verify() {
    HOLDFAST_CHECK(Connect());
    HOLDFAST_TRY(const json answer,
                 Checkpoints(*config_, *api_, environment_.uid).Verify(options_.request));
    Show(answer, VerifiedText);
    for (const json& checkpoint : answer.at("checkpoints"))
      if (checkpoint.at("state") != "good")
        return Fail(Code::kCorrupt,
                    fmt::format("checkpoint {} is {}: {}", checkpoint.at("number").get<uint32_t>(),
                                checkpoint.at("state").get<std::string>(),
                                checkpoint.at("error").get<std::string>()));
    return {};
  }

  // Whether this machine is fit.
  bool Doctor() {
    const auto checks = Examine(environment_.config_path, config::Load(environment_.config_path));
    environment_.out << (options_.json ? Dump(ToJson(checks)) : ToText(checks));
    return AllFit(checks);
  }

 private:
  Status Connect() {
    auto config = config::Load(environment_.config_path);
    if (!config)  // not the caller's mistake, whatever its code says
      return Fail(Code::kInternal, config.error().message() + "\n  next: holdfast doctor");
    config_ = std::move(*config);
    api_ = environment_.connect(*config_);
    if (!options_.job.contains('_')) {
      options_.request.job = ParseNumber<uint32_t>(options_.job).value_or(0);
      return {};
    }
    HOLDFAST_TRY(const json job, api_->Get("/v1/jobs/" + options_.job));
    options_.request.job = job.at("job_id").get<uint32_t>();
    return {};
  }

  std::string Target(const std::string& action) const {
    return fmt::format("/v1/jobs/{}{}", options_.request.job, action);
  }

  Result<json> Where() const {
    json body = json::object();
    if (options_.count != 0) body["nodes"] = options_.count;
    if (options_.exclude.empty()) return body;
    HOLDFAST_TRY(body["exclude"], ExpandHostlist(options_.exclude));
    return body;
  }

  // Begins a checkpoint and waits until it is committed.
  Status Checkpoint(const std::string& action, const json& body, const std::string& then) {
    HOLDFAST_CHECK(Connect());
    HOLDFAST_TRY(const json answer,
                 api_->Post(fmt::format("{}?wait={}", Target(action), kWaitSeconds), body));
    const json& checkpoint = answer.at("checkpoint");
    if (checkpoint.at("committed_unix_ns").is_null())
      return Fail(Code::kTimeout,
                  fmt::format("checkpoint {} is still being made after {} s\n"
                              "  next: holdfast show {}",
                              checkpoint.at("number").get<uint32_t>(), kWaitSeconds, options_.job));
    Show(answer, [&](const json&) {
      return fmt::format("job {}: {}{}\n", options_.job, CheckpointText(checkpoint), then);
    });
    return {};
  }

  template <typename Format>
  void Show(const json& answer, Format format) {
    environment_.out << (options_.json ? Dump(answer) : format(answer));
  }

  const Environment& environment_;
  Options options_;
  std::optional<config::Config> config_;
  std::unique_ptr<Api> api_;
};

const char* Operation(const std::string& command) {
  if (command == "list") return "listing jobs";
  if (command == "show") return "showing job";
  if (command == "save") return "saving job";
  if (command == "migrate") return "moving job";
  if (command == "evacuate") return "evacuating";
  if (command == "prune") return "removing checkpoints of job";
  if (command == "verify") return "verifying job";
  return "resuming job";
}

ExitCode Report(const Environment& environment, const std::string& operation, const Error& error) {
  environment.err << "holdfast: " << operation << ": "
                  << Printable(error.message(), Newlines::kKeep) << "\n";
  if (error.code() == Code::kUnavailable && !error.message().contains("next: "))
    environment.err << "  next: holdfast doctor\n";
  return ExitCodeFor(error.code());
}

// These return what is wrong, or nothing. CLI11 itself would read "7_1" as 71.
std::string IsId(const std::string& text) {
  if (ParseNumber<uint32_t>(text).value_or(0) > 0) return "";
  return fmt::format("'{}' is not a number from 1 to {}", text,
                     std::numeric_limits<uint32_t>::max());
}

std::string IsJob(const std::string& text) {
  const size_t line = text.find('_');
  if (line == text.npos) return IsId(text);
  const bool task = ParseNumber<uint32_t>(text.substr(line + 1)).has_value();
  return task ? IsId(text.substr(0, line))
              : fmt::format("'{}' is no task of an array, such as 42_7", text);
}

// Parses JOB[:CHECKPOINT].
std::string ReadTarget(const std::string& text, Options& options) {
  const size_t colon = text.find(':');
  std::string problem = IsJob(text.substr(0, colon));
  if (problem.empty() && colon != text.npos) problem = IsId(text.substr(colon + 1));
  if (!problem.empty()) return problem;
  options.job = text.substr(0, colon);
  if (colon != text.npos)
    options.request.checkpoint = ParseNumber<uint32_t>(text.substr(colon + 1));
  return "";
}

void DeclareCheckpoints(CLI::App& app, Options& options) {
  const auto add_place = [&](CLI::App* command) {
    command->add_option("--checkpoint-dir", options.request.directory,
                        "where they are, if the coordinator has forgotten the job");
    command->add_option(
        "--submitted", options.request.submitted,
        "which, if several jobs have had that id: the time in the directory's name");
    command->add_option("--user", options.request.user, "root: whose job that was");
  };
  CLI::App* prune = app.add_subcommand("prune", "remove a job's older checkpoints, or all of them");
  CLI::Option* job =
      prune->add_option("JOB", options.job, kJobHelp)->check(IsJob, "a number, or two with a _");
  prune->add_option("--keep", options.request.keep,
                    "newest checkpoints that stay, instead of what the job asked for; 0: none, of "
                    "a job that has ended");
  add_place(prune);
  prune
      ->add_flag("--expired", options.expired,
                 "root: remove all of every job that ended well, or badly long enough ago")
      ->excludes(job);
  CLI::App* verify = app.add_subcommand(
      "verify", "read all of a job's checkpoints, and compare with their digests");
  const auto read = [all = &options](const std::string& text) { return ReadTarget(text, *all); };
  verify->add_option_function<std::string>("JOB", read, "job, or JOB:CHECKPOINT for one of them")
      ->required()
      ->check(read, "a job, or JOB:CHECKPOINT");
  add_place(verify);
}

void Declare(CLI::App& app, Options& options) {
  app.set_version_flag("--version", "holdfast " HOLDFAST_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  app.add_flag("--json", options.json, "results as JSON");

  const auto with_job = [&](const char* name, const char* description) {
    CLI::App* command = app.add_subcommand(name, description);
    command->add_option("JOB", options.job, kJobHelp)
        ->required()
        ->check(IsJob, "a number, or two with a _");
    return command;
  };
  const auto add_where = [&](CLI::App* command) {
    command->add_option("--exclude", options.exclude, "nodes it must not go to: n[1-3],n7");
    command->add_option("--nodes", options.count, "so many, which may be fewer than it began on")
        ->check(IsId, "a number");
  };
  app.add_subcommand("list", "jobs, where they are, and what they are doing");
  with_job("show", "one job: checkpoints, moves, timeline, last error");
  with_job("save", "make a checkpoint now, and wait for it")
      ->add_flag("--stop", options.stop, "then take the job off its nodes and hold it");
  add_where(with_job("migrate", "save, requeue, go on elsewhere"));
  CLI::App* resume = with_job("resume", "release a job that Holdfast holds");
  add_where(resume);
  CLI::Option* checkpoint =
      resume->add_option("--checkpoint", options.checkpoint, "go on from this one, not the newest")
          ->check(IsId, "a number");
  resume
      ->add_flag("--from-start", options.from_start,
                 "begin anew, over its own output; what was saved is given up")
      ->excludes(checkpoint);
  CLI::App* evacuate =
      app.add_subcommand("evacuate", "administrators: drain nodes, and move their jobs to others");
  evacuate->add_option("NODES", options.nodes, "n3, n[1-3],n7")->required();
  evacuate->add_option("--reason", options.reason, "for Slurm's record of the nodes");
  DeclareCheckpoints(app, options);
  app.add_subcommand("doctor", "is this machine fit? each failure with its remedy");
}

}  // namespace

ExitCode Run(std::vector<std::string> arguments, const Environment& environment) {
  Options options;
  CLI::App app("Saves, moves and resumes checkpointed Slurm jobs.", "holdfast");
  std::string name;
  try {
    Declare(app, options);
    std::ranges::reverse(arguments);  // as CLI11 wants them
    app.parse(arguments);
    name = app.get_subcommands().front()->get_name();
    if (name == "prune" && !options.expired && options.job.empty())
      throw CLI::RequiredError("JOB, or --expired");
  } catch (const CLI::ParseError& error) {
    return app.exit(error, environment.out, environment.err) == 0 ? ExitCode::kOk
                                                                  : ExitCode::kUsage;
  }

  Command command(environment, options);
  if (name == "doctor") return command.Doctor() ? ExitCode::kOk : ExitCode::kFailed;
  const std::string operation =
      name == "list"       ? Operation(name)
      : name == "evacuate" ? fmt::format("{} {}", Operation(name), options.nodes)
      : options.expired    ? "removing expired checkpoints"
                           : fmt::format("{} {}", Operation(name), options.job);
  Status status;
  try {
    status = name == "list"       ? command.List()
             : name == "show"     ? command.ShowJob()
             : name == "save"     ? command.Save()
             : name == "migrate"  ? command.Migrate()
             : name == "evacuate" ? command.Evacuate()
             : name == "prune"    ? command.Prune()
             : name == "verify"   ? command.Verify()
                                  : command.Resume();
  } catch (const json::exception& error) {
    status = Fail(Code::kInternal, fmt::format("the coordinator's answer is not understood, its "
                                               "version may differ: {}",
                                               error.what()));
  }
  if (!status) return Report(environment, operation, status.error());
  environment.out.flush();
  if (!environment.out)
    return Report(environment, operation,
                  Error(Code::kInternal, "writing the result to stdout failed"));
  return ExitCode::kOk;
}

}  // namespace holdfast::cli
