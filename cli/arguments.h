// The arguments of `holdfast`: one definition of its commands and options, from which come what is
// accepted, --help, the completion of shells and the synopsis of the manual page. Used by
// commands.cc and by reference_main.cc; one thread.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/checkpoints.h"

namespace holdfast::cli {

struct Options {
  bool json = false;
  std::string job;  // its id, or ARRAY_TASK
  bool stop = false;
  std::string exclude;
  uint32_t count = 0;  // of nodes
  std::string nodes;
  std::string reason;
  uint32_t checkpoint = 0;
  bool from_start = false;
  Checkpoints::Request request;  // of prune and verify
  bool expired = false;
  std::string file;  // of settings
};

// Both must outlive what is parsed.
void Declare(CLI::App& app, Options& options);

// "did you mean 'show'?": of the first argument that is no command or option, if one is like it;
// otherwise empty.
std::string DidYouMean(const CLI::App& app, const std::vector<std::string>& arguments);

// cli/completion.bash.
std::string BashCompletion();
// The lines between those that begin and end it in docs/man/holdfast.1.
std::string ManSynopsis();

}  // namespace holdfast::cli
