// Names of --output, --error and --input with %-patterns.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace holdfast::pod {

struct PatternValues {
  uint32_t job = 0, step = 0, task = 0, node = 0;
  std::string host, user, job_name;
  std::string array_job, array_task;
};

// Whether the name differs between tasks or nodes.
bool DiffersByTask(std::string_view pattern);
// "%4t" is a number with at least four digits; a backslash anywhere means no patterns.
std::string ExpandPattern(std::string_view pattern, const PatternValues& values);

}  // namespace holdfast::pod
