// The `holdfast` command: reads its arguments, asks the coordinator, shows the answer. Called by
// main and by tests; one thread.
#pragma once

#include <unistd.h>

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include "cli/client.h"
#include "cli/exit_code.h"
#include "config/config.h"

namespace holdfast::cli {

struct Environment {
  std::ostream& out;  // results
  std::ostream& err;  // diagnostics
  std::string config_path = config::kDefaultPath;
  std::function<std::unique_ptr<Api>(const config::Config&)> connect;
  uid_t uid = ::geteuid();
};

// `arguments`: without the program's name.
ExitCode Run(std::vector<std::string> arguments, const Environment& environment);

}  // namespace holdfast::cli
