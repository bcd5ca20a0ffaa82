// Writes what is made from the definitions of the command line; part of the build, not installed:
// `holdfast-cli-reference completion`, or `man` for the synopsis.
#include <cstdio>
#include <string_view>

#include "cli/arguments.h"

int main(int argc, char** argv) {
  const bool man = argc == 2 && std::string_view(argv[1]) == "man";
  const std::string text = man ? holdfast::cli::ManSynopsis() : holdfast::cli::BashCompletion();
  return std::fputs(text.c_str(), stdout) < 0 ? 1 : 0;
}
