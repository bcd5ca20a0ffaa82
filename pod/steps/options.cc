#include "pod/steps/options.h"

#include <getopt.h>

#include <algorithm>

#include "pod/steps/environment.h"
#include "pod/steps/option_table.h"
#include "pod/steps/values.h"

namespace holdfast::pod {
namespace {

constexpr int kFirstLong = 256;

// getopt(3) wants them in two forms: "+n:N:" and a table.
struct Getopt {
  std::string letters = "+";
  std::vector<option> names;

  Getopt() {
    int code = kFirstLong;
    for (const Option& entry : OptionTable()) {
      const int argument = entry.argument == Argument::kNone       ? no_argument
                           : entry.argument == Argument::kRequired ? required_argument
                                                                   : optional_argument;
      names.push_back({.name = entry.name, .has_arg = argument, .flag = nullptr, .val = code++});
      if (entry.letter == 0) continue;
      letters += entry.letter;
      // -v and -K take no value that is joined to the letter and is not digits; getopt gives it to
      // them all the same.
      if (entry.letter == 'v') continue;
      letters.append(static_cast<size_t>(argument), ':');
    }
    names.push_back({});
  }
};

const Option* EntryOf(int code) {
  const auto table = OptionTable();
  if (code >= kFirstLong) return &table[static_cast<size_t>(code - kFirstLong)];
  const auto found =
      std::ranges::find_if(table, [&](const Option& entry) { return entry.letter == code; });
  return found == table.end() ? nullptr : &*found;
}

Complaint RefusalOf(const Option& entry) {
  return {.exit_code = 1,
          .lines = {"error: --" + std::string(entry.name) +
                    " is not possible in a job with --checkpoint"}};
}

bool MeansYes(const std::string& value) {
  return !value.empty() && value != "0" && Lower(value) != "no" && Lower(value) != "false";
}

std::expected<void, Complaint> ApplyVariables(Options& options,
                                              const std::vector<std::string>& environment) {
  for (const Option& entry : OptionTable()) {
    if (!entry.variables) continue;
    for (const std::string& name : SplitAt(entry.variables, ' ')) {
      const auto text = Variable(environment, name);
      if (!text) continue;
      const std::string value(*text);
      if (entry.argument == Argument::kNone && !value.empty() && !MeansYes(value)) continue;
      if (entry.argument == Argument::kRequired && value.empty()) continue;
      if (name == "SLURM_EXCLUSIVE" || name == "SLURM_OVERLAP") {
        if (!value.empty() && !MeansYes(value)) continue;
      }
      if (auto applied = entry.apply(options, value); !applied) return applied;
    }
  }
  options.tasks.by_variable = options.min_nodes.by_variable = true;
  options.cpus_per_task.by_variable = options.tasks_per_node.by_variable = true;
  return {};
}

}  // namespace

std::expected<Options, Complaint> ParseOptions(const std::vector<std::string>& arguments,
                                               const std::vector<std::string>& environment,
                                               std::vector<std::string>& remarks) {
  Options options;
  if (auto applied = ApplyVariables(options, environment); !applied)
    return std::unexpected(applied.error());

  const Getopt known;
  std::vector<std::string> words{"srun"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::optind = 0;
  const auto count = static_cast<int>(words.size());
  for (int code; (code = ::getopt_long(count, argv.data(), known.letters.c_str(),
                                       known.names.data(), nullptr)) != -1;) {
    // getopt has said what is wrong.
    const Option* const entry = code == '?' ? nullptr : EntryOf(code);
    if (!entry)
      return std::unexpected(
          Complaint{.exit_code = 255, .lines = {"Try \"srun --help\" for more information"}});
    if (IsRefused(*entry)) return std::unexpected(RefusalOf(*entry));
    if (!entry->apply) continue;
    const std::string value = ::optarg ? ::optarg : "";
    if (auto applied = entry->apply(options, value); !applied)
      return std::unexpected(applied.error());
    if (entry->apply == EntryOf('n')->apply) options.tasks.by_variable = false;
    if (entry->apply == EntryOf('N')->apply) options.min_nodes.by_variable = false;
    if (entry->apply == EntryOf('c')->apply) options.cpus_per_task.by_variable = false;
    if (entry->name == std::string_view("ntasks-per-node") ||
        entry->name == std::string_view("tasks-per-node"))
      options.tasks_per_node.by_variable = false;
    if (entry->name == std::string_view("cpu-bind") && Lower(value).find("rank") == 0 &&
        Lower(value).find("ldom") == std::string::npos)
      remarks.emplace_back("Ignoring --cpu-bind=rank. Rank binding is obsolete.");
    if (entry->letter == 'b')
      remarks.emplace_back("error: --begin is ignored because nodes are already allocated.");
  }
  options.command.assign(words.begin() + ::optind, words.end());
  if (std::ranges::find(options.command, ":") != options.command.end())
    return std::unexpected(Complaint{
        .exit_code = 1,
        .lines = {"error: several components, with : between them, are not possible in a job with "
                  "--checkpoint"}});
  return options;
}

}  // namespace holdfast::pod
