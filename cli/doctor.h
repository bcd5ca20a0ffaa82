// `holdfast doctor`: is this machine fit for Holdfast? Looks, and changes nothing. What only root
// can see is reported as not checked to anybody else. Called by the command line; one thread.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/config.h"

namespace holdfast::cli {

// Shown, and in --json by name: do not rename.
enum class Fitness { kOk, kFailed, kNotChecked };

struct Check {
  std::string name;
  Fitness fitness = Fitness::kOk;
  std::string detail;  // what was found; or why it was not checked
  std::string remedy;  // if it failed
};

inline Check Ok(std::string name, std::string detail) {
  return {std::move(name), Fitness::kOk, std::move(detail), ""};
}
inline Check Failed(std::string name, std::string detail, std::string remedy) {
  return {std::move(name), Fitness::kFailed, std::move(detail), std::move(remedy)};
}
inline Check NotChecked(std::string name, std::string why) {
  return {std::move(name), Fitness::kNotChecked, std::move(why), ""};
}

// All checks, in the order to mend things in. `config` is what loading `config_path` gave.
std::vector<Check> Examine(const std::string& config_path, const Result<config::Config>& config);

bool AllFit(const std::vector<Check>& checks);
std::string ToText(const std::vector<Check>& checks);
nlohmann::json ToJson(const std::vector<Check>& checks);

}  // namespace holdfast::cli
