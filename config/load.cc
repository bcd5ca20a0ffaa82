// The one place where yaml-cpp is used, and where its exceptions end.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <set>
#include <vector>

#include "base/files.h"
#include "config/config.h"
#include "config/keys.h"
#include "config/spelling.h"

namespace holdfast::config {
namespace {

class Loader {
 public:
  explicit Loader(const std::string& path) : path_(path) {}

  Result<Config> Load(const std::string& text) {
    try {
      ReadRoot(YAML::Load(text));
    } catch (const YAML::Exception& error) {
      Problem(error.mark, error.msg);
    }
    if (!problems_.empty())
      return Fail(Code::kInvalid, fmt::format("{}", fmt::join(problems_, "\n")));
    return config_;
  }

 private:
  void Problem(const YAML::Mark& mark, std::string_view what) {
    // yaml-cpp counts from 0.
    problems_.push_back(fmt::format("{}:{}:{}: {}", path_, mark.line + 1, mark.column + 1, what));
  }

  void ReadRoot(const YAML::Node& root) {
    if (root.IsNull()) return;  // an empty file: all defaults
    if (!root.IsMap()) {
      Problem(root.Mark(), "expected sections, each a line 'NAME:'");
      return;
    }
    std::set<std::string> sections;
    for (const Key& key : Keys()) sections.emplace(key.section);
    std::set<std::string> seen;
    for (const auto& entry : root) {
      const std::string section = Name(entry.first);
      if (!sections.contains(section)) {
        Problem(entry.first.Mark(), Unknown("section", section, sections));
      } else if (!seen.insert(section).second) {
        Problem(entry.first.Mark(), fmt::format("section '{}' is given twice", section));
      } else {
        ReadSection(section, entry.second);
      }
    }
  }

  void ReadSection(const std::string& section, const YAML::Node& node) {
    if (node.IsNull()) return;
    if (!node.IsMap()) {
      Problem(node.Mark(), fmt::format("section '{}': expected lines 'KEY: VALUE'", section));
      return;
    }
    std::set<std::string> names;
    for (const Key& key : Keys())
      if (key.section == section) names.emplace(key.name);
    std::set<std::string> seen;
    for (const auto& entry : node) {
      const std::string name = Name(entry.first);
      if (!names.contains(name)) {
        Problem(entry.first.Mark(),
                Unknown(fmt::format("key of section '{}'", section), name, names));
      } else if (!seen.insert(name).second) {
        Problem(entry.first.Mark(), fmt::format("key '{}.{}' is given twice", section, name));
      } else {
        ReadValue(section, name, entry.second);
      }
    }
  }

  void ReadValue(const std::string& section, const std::string& name, const YAML::Node& node) {
    for (const Key& key : Keys()) {
      if (key.section != section || key.name != name) continue;
      if (!node.IsScalar()) {
        Problem(node.Mark(), fmt::format("{}.{}: expected {}", section, name, Accepted(key)));
      } else if (const auto set = SetValue(key, node.Scalar(), config_); !set) {
        Problem(node.Mark(), set.error().message());
      }
    }
  }

  static std::string Name(const YAML::Node& node) { return node.IsScalar() ? node.Scalar() : ""; }

  static std::string Unknown(std::string_view what, const std::string& name,
                             const std::set<std::string>& known) {
    const auto suggestion = ClosestWord(name, known);
    if (suggestion)
      return fmt::format("'{}' is no {}; did you mean '{}'?", name, what, *suggestion);
    return fmt::format("'{}' is no {}; accepted: {}", name, what, fmt::join(known, ", "));
  }

  const std::string& path_;
  Config config_;
  std::vector<std::string> problems_;
};

}  // namespace

Result<Config> Load(const std::string& path) {
  auto text = ReadFile(path);
  if (!text) return std::unexpected(std::move(text).error().Wrap("reading the configuration"));
  auto config = Loader(path).Load(*text);
  if (config && config->coordinator.warden_port == config->coordinator.rest_port)
    return Fail(Code::kInvalid,
                fmt::format("{}: coordinator.warden_port and coordinator.rest_port are both {}; "
                            "give each its own",
                            path, config->coordinator.rest_port));
  return config;
}

}  // namespace holdfast::config
