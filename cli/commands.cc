#include "cli/commands.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <ostream>

#include "base/numbers.h"
#include "base/printable.h"
#include "cli/arguments.h"
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

std::string Dump(const json& value) { return protocol::ToText(value, 2) + "\n"; }

class Command {
 public:
  Command(const Environment& environment, Options options)
      : environment_(environment), options_(std::move(options)) {}

  Status List() {
    HOLDFAST_CHECK(Connect());
    HOLDFAST_TRY(const json jobs, AllJobs(*api_));
    Show(json{{"jobs", jobs}}, JobListText);
    return {};
  }

  Status ShowJob() {
    HOLDFAST_CHECK(Connect());
    HOLDFAST_TRY(const json answer, api_->Get(Target("")));
    Show(answer, JobText);
    return {};
  }

  Status Why() {
    HOLDFAST_CHECK(Connect());
    HOLDFAST_TRY(const json answer, api_->Get(Target("")));
    if (options_.json)
      environment_.out << Dump({{"job_id", answer.at("job_id")},
                                {"state", answer.at("state")},
                                {"why", answer.at("why")}});
    else
      environment_.out << WhyText(answer);
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

  Status CheckConfig() {
    const std::string path = options_.file.empty() ? environment_.config_path : options_.file;
    if (const auto config = config::Load(path); !config)
      return Fail(Code::kInternal, config.error().message());
    Show({{"file", path}, {"valid", true}},
         [&](const json&) { return fmt::format("{}: valid\n", path); });
    return {};
  }

  Status ShowSettings() {
    json settings = json::array();
    for (const config::Setting& setting : config::Settings())
      settings.push_back({{"name", setting.name},
                          {"default", setting.preset},
                          {"accepted", setting.accepted},
                          {"applies", config::AppliesName(setting.applies)},
                          {"meaning", setting.meaning}});
    Show(settings, [](const json&) { return config::ReferenceText(); });
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
  if (command == "show" || command == "why") return "showing job";
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

}  // namespace

ExitCode Run(std::vector<std::string> arguments, const Environment& environment) {
  Options options;
  CLI::App app("Saves, moves and resumes checkpointed Slurm jobs.", "holdfast");
  std::string name;
  const std::vector<std::string> given = arguments;
  try {
    Declare(app, options);
    std::ranges::reverse(arguments);  // as CLI11 wants them
    app.parse(arguments);
    name = app.get_subcommands().front()->get_name();
    if (name == "prune" && !options.expired && options.job.empty())
      throw CLI::RequiredError("JOB, or --expired");
  } catch (const CLI::ParseError& error) {
    if (app.exit(error, environment.out, environment.err) == 0) return ExitCode::kOk;
    if (const std::string hint = DidYouMean(app, given); !hint.empty())
      environment.err << hint << "\n";
    return ExitCode::kUsage;
  }

  Command command(environment, options);
  if (name == "doctor") return command.Doctor() ? ExitCode::kOk : ExitCode::kFailed;
  const bool checks =
      app.got_subcommand("config") && app.get_subcommand("config")->got_subcommand("check");
  const std::string operation =
      name == "list"       ? Operation(name)
      : name == "config"   ? "checking the settings"
      : name == "evacuate" ? fmt::format("{} {}", Operation(name), options.nodes)
      : options.expired    ? "removing expired checkpoints"
                           : fmt::format("{} {}", Operation(name), options.job);
  Status status;
  try {
    status = name == "list"       ? command.List()
             : name == "config"   ? (checks ? command.CheckConfig() : command.ShowSettings())
             : name == "show"     ? command.ShowJob()
             : name == "why"      ? command.Why()
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
