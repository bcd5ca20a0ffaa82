// Options of the benches.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdlib>
#include <functional>

namespace holdfast::bench {

// What every bench takes: --json, and --size in MiB.
class OptionParser : public CLI::App {
 public:
  OptionParser(const char* description, bool& json, size_t& size_bytes) : CLI::App(description) {
    add_flag("--json", json, "print one JSON list and nothing else");
    add_option_function<size_t>(
        "--size", [&size_bytes](size_t mib) { size_bytes = mib << 20; }, "MiB of data");
  }
  // Runs and ends the program with what `run` returns, if the option is there: for the process that
  // a bench measures.
  void RunInstead(const char* option, std::function<int(size_t)> run) {
    add_option_function<size_t>(option, [run](size_t value) { std::exit(run(value)); })->group("");
  }
  // Ends the program if they are wrong or only ask for help.
  void ParseOrExit(int argc, char** argv) {
    try {
      parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      std::exit(exit(error));
    }
  }
};

}  // namespace holdfast::bench
