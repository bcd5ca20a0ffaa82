// Slurm's way of writing many hosts: "n[1-3,7],login". And of writing many numbers: "0,2-3".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::pod {

// In order, with repetitions. kInvalid if it is malformed or means more than a million hosts.
Result<std::vector<std::string>> ExpandHosts(std::string_view text);
// Neighbours with the same letters in front, and numbers of the same width, are drawn together.
std::string CompressHosts(const std::vector<std::string>& hosts);
// 0 2 3 -> "0,2-3". The numbers must ascend.
std::string CompressNumbers(const std::vector<uint32_t>& numbers);
// 2 2 1 -> "2(x2),1", as in SLURM_TASKS_PER_NODE.
std::string CompressCounts(const std::vector<uint32_t>& counts);

}  // namespace holdfast::pod
