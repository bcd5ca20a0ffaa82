// Node lists as Slurm writes them. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::cli {

// "n[1-3,7],login01" -> n1, n2, n3, n7, login01. Numbers keep their leading zeros. kInvalid, saying
// what is wrong, for anything else; at most 65536 names.
Result<std::vector<std::string>> ExpandHostlist(std::string_view text);

}  // namespace holdfast::cli
