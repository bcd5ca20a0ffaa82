#include "cli/arguments.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <limits>
#include <optional>
#include <set>

#include "base/numbers.h"
#include "config/spelling.h"

namespace holdfast::cli {
namespace {

constexpr const char* kJobHelp = "job id, or ARRAY_TASK";

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
    command
        ->add_option("--checkpoint-dir", options.request.directory,
                     "where they are, if the coordinator has forgotten the job")
        ->type_name("URL");
    command
        ->add_option("--submitted", options.request.submitted,
                     "which, if several jobs have had that id: the time in the directory's name")
        ->type_name("TIME");
    command->add_option("--user", options.request.user, "root: whose job that was")
        ->type_name("NAME");
  };
  CLI::App* prune = app.add_subcommand("prune", "remove a job's older checkpoints, or all of them");
  CLI::Option* job =
      prune->add_option("JOB", options.job, kJobHelp)->check(IsJob, "a number, or two with a _");
  prune
      ->add_option("--keep", options.request.keep,
                   "newest checkpoints that stay, instead of what the job asked for; 0: none, of "
                   "a job that has ended")
      ->type_name("N");
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

// "--exclude", without the single letters that CLI11 has for help.
std::vector<std::string> LongOptions(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

std::set<std::string> NamesOf(const std::vector<const CLI::App*>& apps) {
  std::set<std::string> names;
  for (const CLI::App* app : apps) names.insert(app->get_name());
  return names;
}

std::vector<const CLI::App*> CommandsOf(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

const CLI::App* FindCommand(const CLI::App& app, const std::string& name) {
  for (const CLI::App* command : CommandsOf(app))
    if (command->get_name() == name) return command;
  return nullptr;
}

bool TakesJob(const CLI::App& command) { return command.get_option_no_throw("JOB") != nullptr; }

// ".Op Fl -exclude Ar NODES".
std::string Macro(const CLI::Option& option) {
  if (option.get_positional()) return "";
  const bool has_value = option.get_items_expected_max() > 0;
  const std::string type = option.get_type_name();  // "N:what a check expects"
  return fmt::format(".Op Fl -{}{}\n", option.get_lnames().front(),
                     has_value ? " Ar " + type.substr(0, type.find(':')) : "");
}

std::string SynopsisOf(const std::string& words, const CLI::App& command) {
  std::string text;
  for (const CLI::App* nested : CommandsOf(command))
    text += SynopsisOf(words + " " + nested->get_name(), *nested);
  if (!text.empty()) return text;  // it only has those
  text = ".Nm\n.Op Fl -json\n.Cm " + words + "\n";
  for (const CLI::Option* option : command.get_options())
    if (option->get_positional())
      text += fmt::format(".{}Ar {}\n", option->get_required() ? "" : "Op ", option->get_name());
  for (const CLI::Option* option : command.get_options())
    if (!option->get_lnames().empty() && option->get_lnames().front() != "help")
      text += Macro(*option);
  return text;
}

}  // namespace

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
    command->add_option("--exclude", options.exclude, "nodes it must not go to: n[1-3],n7")
        ->type_name("NODES");
    command->add_option("--nodes", options.count, "so many, which may be fewer than it began on")
        ->type_name("N")
        ->check(IsId, "a number");
  };
  app.add_subcommand("list", "jobs, where they are, and what they are doing");
  with_job("show", "one job: checkpoints, moves, timeline, last error");
  with_job("why", "why a job is not saved, was moved, is held or waits, and what can be done");
  with_job("save", "make a checkpoint now, and wait for it")
      ->add_flag("--stop", options.stop, "then take the job off its nodes and hold it");
  add_where(with_job("migrate", "save, requeue, go on elsewhere"));
  CLI::App* resume = with_job("resume", "release a job that Holdfast holds");
  add_where(resume);
  CLI::Option* checkpoint =
      resume->add_option("--checkpoint", options.checkpoint, "go on from this one, not the newest")
          ->type_name("N")
          ->check(IsId, "a number");
  resume
      ->add_flag("--from-start", options.from_start,
                 "begin anew, over its own output; what was saved is given up")
      ->excludes(checkpoint);
  CLI::App* evacuate =
      app.add_subcommand("evacuate", "administrators: drain nodes, and move their jobs to others");
  evacuate->add_option("NODES", options.nodes, "n3, n[1-3],n7")->required();
  evacuate->add_option("--reason", options.reason, "for Slurm's record of the nodes")
      ->type_name("TEXT");
  DeclareCheckpoints(app, options);
  app.add_subcommand("doctor", "is this machine fit? each failure with its remedy");
  CLI::App* config = app.add_subcommand("config", "the site's settings");
  config->require_subcommand(1);
  config->add_subcommand("check", "are they valid? each mistake with its place")
      ->add_option("FILE", options.file, "instead of the site's own");
  config->add_subcommand("reference", "all there are: what each means, accepts and is by default");
}

std::string DidYouMean(const CLI::App& app, const std::vector<std::string>& arguments) {
  const CLI::App* command = &app;
  for (const std::string& argument : arguments) {
    const std::string word = argument.substr(0, argument.find('='));
    std::set<std::string> known;
    if (word.starts_with("--")) {
      for (const CLI::App* of : {&app, command})
        for (const std::string& name : LongOptions(*of)) known.insert(name);
    } else if (const CLI::App* found = FindCommand(*command, word)) {
      command = found;
      continue;
    } else {
      known = NamesOf(CommandsOf(*command));
    }
    if (known.empty() || known.contains(word)) continue;
    const auto like = config::ClosestWord(word, known);
    return like ? fmt::format("did you mean '{}'?", *like) : "";
  }
  return "";
}

std::string BashCompletion() {
  Options options;
  CLI::App app;
  Declare(app, options);
  std::string with_job, cases;
  for (const CLI::App* command : CommandsOf(app)) {
    if (TakesJob(*command)) with_job += (with_job.empty() ? "" : " | ") + command->get_name();
    std::vector<std::string> words;
    for (const std::string& name : NamesOf(CommandsOf(*command))) words.push_back(name);
    for (const std::string& name : LongOptions(*command))
      if (name != "--help") words.push_back(name);
    if (!words.empty())
      cases +=
          fmt::format("        {}) words+=' {}' ;;\n", command->get_name(), fmt::join(words, " "));
  }
  return fmt::format(
      R"bash(# bash completion for holdfast
# Written by the target cli_reference from the definitions in cli/arguments.cc.
_holdfast() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command='' i
    local commands='{0}'
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ " $commands " == *" ${{COMP_WORDS[i]}} "* ]] && {{ command=${{COMP_WORDS[i]}}; break; }}
    done
    case $before in
        {1})
            # shellcheck disable=SC2207 # job ids have no spaces
            COMPREPLY=($(compgen -W "$(squeue --me --noheader --format=%A 2>/dev/null)" -- "$word"))
            return ;;
        --exclude | evacuate)
            # shellcheck disable=SC2207 # nor have nodes
            COMPREPLY=($(compgen -W "$(sinfo --noheader --Node --format=%N 2>/dev/null)" -- "$word"))
            return ;;
    esac
    local words='--json --help'
    case $command in
        '') words+=" --version $commands" ;;
{2}    esac
    # shellcheck disable=SC2207
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -F _holdfast holdfast
)bash",
      fmt::join(NamesOf(CommandsOf(app)), " "), with_job, cases);
}

std::string ManSynopsis() {
  Options options;
  CLI::App app;
  Declare(app, options);
  std::string text;
  for (const CLI::App* command : CommandsOf(app)) text += SynopsisOf(command->get_name(), *command);
  return text;
}

}  // namespace holdfast::cli
