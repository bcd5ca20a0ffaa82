#include <dlfcn.h>
#include <fmt/format.h>
#include <glob.h>

#include <deque>
#include <memory>

#include "base/files.h"
#include "cli/doctor_probes.h"
#include "cli/doctor_rules.h"

namespace holdfast::cli {
namespace {

// The files that match a pattern of plugstack.conf; a relative one is relative to `directory`.
std::vector<std::string> Expand(const std::string& directory, const std::string& pattern) {
  glob_t found{};
  const std::string path = pattern.starts_with('/') ? pattern : directory + "/" + pattern;
  std::vector<std::string> files;
  if (::glob(path.c_str(), 0, nullptr, &found) == 0)
    files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  return files;
}

// The path of holdfast.so in the plugin stack that begins with file `path`.
Result<std::string> FindPlugin(const std::string& path) {
  std::deque<std::string> files{path};
  // Far more than any stack has; ends includes that include themselves.
  for (int read = 0; !files.empty() && read < 100; ++read) {
    const std::string file = files.front();
    files.pop_front();
    HOLDFAST_TRY(const std::string text, ReadFile(file));
    const PlugStack stack = ParsePlugStack(text);
    if (stack.plugin) return *stack.plugin;
    for (const auto& pattern : stack.includes)
      for (auto& included : Expand(file.substr(0, file.rfind('/')), pattern))
        files.push_back(std::move(included));
  }
  return Fail(Code::kNotFound, fmt::format("{} has no line with holdfast.so", path));
}

// plugin_version of a SPANK plugin, without running any of it.
Result<uint32_t> PluginVersion(const std::string& path) {
  const std::unique_ptr<void, int (*)(void*)> plugin(::dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL),
                                                     ::dlclose);
  if (!plugin) return Fail(Code::kUnsupported, fmt::format("loading it: {}", ::dlerror()));
  const auto* version = static_cast<const uint32_t*>(::dlsym(plugin.get(), "plugin_version"));
  if (version == nullptr) return Fail(Code::kInvalid, fmt::format("{} is no SPANK plugin", path));
  return *version;
}

std::vector<Check> ExaminePlugin(const SlurmConfig& config, const std::string& slurm) {
  const auto setting = config.find("PlugStackConfig");
  const std::string stack = setting == config.end() || setting->second == "(null)"
                                ? "/etc/slurm/plugstack.conf"
                                : setting->second;
  const auto plugin = FindPlugin(stack);
  if (!plugin)
    return {Failed(
        "slurm plugin", plugin.error().message(),
        fmt::format("add the line of slurm-conf/plugstack.conf to {} on every node", stack))};
  // A relative path is one below PluginDir.
  const auto directory = config.find("PluginDir");
  const std::string path = plugin->starts_with('/') || directory == config.end()
                               ? *plugin
                               : directory->second + "/" + *plugin;
  if (!FileExists(path))
    return {Failed("slurm plugin", fmt::format("{} names {}, which does not exist", stack, path),
                   "install Holdfast on this machine, or correct the path")};
  std::vector<Check> checks{Ok("slurm plugin", path)};
  const auto version = PluginVersion(path);
  checks.push_back(version ? JudgePluginVersion(*version, slurm)
                           : Failed("slurm plugin version", version.error().message(),
                                    "build and install Holdfast against this machine's Slurm"));
  return checks;
}

}  // namespace

std::vector<Check> ExamineSlurm() {
  const auto version = Output({"scontrol", "--version"});
  if (!version)
    return {Failed("slurm", version.error().message(),
                   "install Slurm's client commands and slurm.conf, so that scontrol works here")};
  std::vector<Check> checks{Ok("slurm", version->substr(0, version->find('\n')))};
  const auto text = Output({"scontrol", "show", "config"});
  if (!text) {
    checks.push_back(Failed("slurm configuration", text.error().message(),
                            "make `scontrol show config` work here first"));
    return checks;
  }
  const SlurmConfig config = ParseSlurmConfig(*text);
  for (auto& check : ExaminePlugin(config, *version)) checks.push_back(std::move(check));
  for (auto& check : JudgeSlurmConfig(config)) checks.push_back(std::move(check));
  if (const auto partitions = Output({"scontrol", "show", "partition", "--oneliner"}); partitions)
    checks.push_back(JudgePartitions(*partitions, config));
  else
    checks.push_back(NotChecked("slurm time to save", partitions.error().message()));
  return checks;
}

}  // namespace holdfast::cli
