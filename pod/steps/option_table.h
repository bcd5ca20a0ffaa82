// The table of srun's options: docs/srun.md is made from it.
#pragma once

#include <span>

#include "pod/steps/options.h"

namespace holdfast::pod {

using Applied = std::expected<void, Complaint>;

enum class Argument : uint8_t { kNone, kRequired, kOptional };

struct Option {
  const char* name;
  char letter;  // or 0
  Argument argument;
  // Names of the variables that stand for it, in ascending order of precedence, with spaces
  // between; or null.
  const char* variables;
  // What it does: null if it is accepted and changes nothing here.
  Applied (*apply)(Options&, const std::string& value);
};

std::span<const Option> OptionTable();
// Whether the option is one that ends srun with an error that names it.
bool IsRefused(const Option& option);

}  // namespace holdfast::pod
