// Which program each task of a step runs.
#pragma once

#include "pod/steps/options.h"

namespace holdfast::pod {

// Programs of a step, and which one a task runs.
struct Programs {
  std::vector<std::vector<std::string>> argv;
  std::vector<uint32_t> of_task;
};

// srun's own search: the first executable in PATH; a relative path behind the directory; or the
// word itself.
std::string FindProgram(const std::string& word, const std::string& directory,
                        std::string_view path);

// The same for all tasks.
Programs OneProgram(std::vector<std::string> argv, uint32_t tasks);
// From a configuration of --multi-prog: "0,2-3 PROGRAM ARGUMENT...", where %t is the task and %o
// its place in the line's range.
std::expected<Programs, Complaint> ManyPrograms(const std::string& configuration, uint32_t tasks,
                                                const std::string& directory,
                                                std::string_view path);

}  // namespace holdfast::pod
