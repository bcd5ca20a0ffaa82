// Whether a signal was sent to this process alone or to its whole process group, as `scancel
// --full` does. Whoever gets a signal cannot see that; so a child in the same group blocks all
// signals, and what is pending there has been sent to the group. For holdfast-batch, one thread.
#pragma once

#include <string>

#include "base/process.h"
#include "base/result.h"

namespace holdfast::pod {

// The argument with which holdfast-batch becomes such a child.
inline constexpr const char* kWitnessArgument = "--witness";

class GroupWitness {
 public:
  // `program` becomes the witness when it is run with kWitnessArgument.
  static Result<GroupWitness> Start(std::string program);

  // Of a signal that this process has just got. A witness that has seen one is replaced: it cannot
  // forget.
  Result<bool> Saw(int signal);

 private:
  GroupWitness(std::string program, Process process)
      : program_(std::move(program)), process_(std::move(process)) {}

  std::string program_;
  Process process_;
};

// The witness itself: blocks all signals and waits to be killed.
[[noreturn]] void BeWitness();

}  // namespace holdfast::pod
