// What is made from the table of keys beside reading it: references, and what a reload means.
#include <fmt/format.h>

#include "config/config.h"
#include "config/keys.h"

namespace holdfast::config {
namespace {

std::string NameOf(const Key& key) { return fmt::format("{}.{}", key.section, key.name); }

}  // namespace

const char* AppliesName(Applies applies) {
  switch (applies) {
    case Applies::kToJobs:
      return "new jobs";
    case Applies::kReload:
      return "reload";
    case Applies::kRestart:
      return "restart";
  }
  return "unknown";
}

std::vector<Setting> Settings() {
  std::vector<Setting> settings;
  for (const Key& key : Keys())
    settings.push_back({.name = NameOf(key),
                        .preset = ValueText(key, Config{}),
                        .accepted = Accepted(key),
                        .meaning = std::string(key.doc),
                        .applies = key.applies});
  return settings;
}

std::vector<Change> Compare(const Config& before, const Config& after) {
  std::vector<Change> changes;
  for (const Key& key : Keys()) {
    Change change{.name = NameOf(key),
                  .before = ValueText(key, before),
                  .after = ValueText(key, after),
                  .applies = key.applies};
    if (change.before != change.after) changes.push_back(std::move(change));
  }
  return changes;
}

Config Reloaded(const Config& running, const Config& read) {
  Config config = read;
  for (const Key& key : Keys())
    if (key.applies == Applies::kRestart)
      (void)SetValue(key, ValueText(key, running), config);  // it was accepted before
  return config;
}

std::string Reference() {
  std::string text =
      "# Configuration reference\n\n"
      "Generated from the table in `config/config.cc` by the CMake target `config_reference`; a "
      "unit test compares them. `holdfast config reference` prints the same.\n\n"
      "Holdfast reads one file, `/etc/holdfast/holdfast.yaml`, the same on every node and on the "
      "controller. Every key is optional. `holdfast config check`, and `holdfast-coordinator "
      "--check-config`, report all of its problems at once, with line and column.\n\n"
      "Durations are a number with `s`, `m`, `h` or `d`, or a time as sbatch writes it, in which a "
      "plain number is minutes. Sizes are a number of bytes, or one with `KiB`, `MiB`, `GiB` or "
      "`TiB`.\n\n"
      "A changed value counts *for new jobs*, those that start from then on (their wardens read "
      "the "
      "file; the command line reads it each time), after a *reload* of the coordinator (`systemctl "
      "reload holdfast-coordinator`), or after its *restart*. Neither harms a job. What is under "
      "way "
      "keeps the times that it began with. A file with mistakes changes nothing: the log has them, "
      "and what was read before stands.\n";
  std::string_view section;
  for (const Key& key : Keys()) {
    if (key.section != section) {
      section = key.section;
      text += fmt::format(
          "\n## {}\n\n| key | accepted | default | counts | meaning |\n|---|---|---|---|---|\n",
          section);
    }
    const std::string value = ValueText(key, Config{});
    const std::string default_text = value.empty() ? "none" : fmt::format("`{}`", value);
    text += fmt::format("| `{}` | {} | {} | {} | {} |\n", key.name, Accepted(key), default_text,
                        AppliesName(key.applies), key.doc);
  }
  return text;
}

std::string ReferenceText() {
  std::string text;
  for (const Setting& setting : Settings())
    text += fmt::format("{}\n  accepts {}\n  default {}, counts: {}\n  {}\n\n", setting.name,
                        setting.accepted, setting.preset.empty() ? "none" : setting.preset,
                        AppliesName(setting.applies), setting.meaning);
  return text;
}

}  // namespace holdfast::config
