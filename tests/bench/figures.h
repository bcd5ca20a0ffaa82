// What every bench of this directory prints: figures, each of which is ours against theirs.
//
// With --json a bench prints one JSON list on stdout and nothing else; lab/bench runs them all so,
// and makes one table of it. Without, lines for people. What is being done goes to stderr.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace holdfast::bench {

struct Figure {
  std::string name;
  double ours = 0;
  double theirs = 0;
  std::string unit = "s";        // of both
  std::optional<double> target;  // for ours / theirs
  bool higher_is_better = false;
  // What was measured, as one would type it.
  std::string ours_command;
  std::string theirs_command;
};

// Ends the program.
[[noreturn]] inline void Die(const Error& error) {
  fmt::print(stderr, "bench: {}\n", error.message());
  std::exit(1);
}
template <typename T>
T Must(Result<T> result) {
  if (!result) Die(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

inline double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

inline void Print(const std::vector<Figure>& figures, bool json) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Figure& figure : figures) {
    const double ratio = figure.ours / figure.theirs;
    if (!json) {
      fmt::print("{:60} {:9.3f} / {:9.3f} {:4} = {:5.3f}{}\n", figure.name, figure.ours,
                 figure.theirs, figure.unit, ratio,
                 figure.target
                     ? fmt::format("  target {} {}",
                                   figure.higher_is_better ? "at least" : "at most", *figure.target)
                     : "");
      continue;
    }
    list.push_back({{"name", figure.name},
                    {"ratio", ratio},
                    {"target", figure.target ? nlohmann::ordered_json(*figure.target) : nullptr},
                    {"higher_is_better", figure.higher_is_better},
                    {"ours", figure.ours},
                    {"theirs", figure.theirs},
                    {"unit", figure.unit},
                    {"ours_command", figure.ours_command},
                    {"theirs_command", figure.theirs_command}});
  }
  if (json) fmt::print("{}\n", list.dump(1));
}

}  // namespace holdfast::bench
