// A step that runs, seen from srun: output to where it belongs, input to the tasks, signals, limits
// of time, and how it ends.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "pod/frame_socket.h"
#include "pod/steps/messages.h"
#include "pod/steps/options.h"

namespace holdfast::pod {

// Where the output of the tasks goes.
struct Sink {
  UniqueFd file;  // or, if it is none, `number`
  int number = -1;
  std::optional<uint32_t> only_task;

  int fd() const { return file.valid() ? file.get() : number; }
};

struct StepRunOptions {
  uint32_t job = 0;
  StepGrant grant;
  Sink output, error;
  UniqueFd input;                      // a file instead of srun's own
  bool reads_input = true;             // whether the tasks get any
  std::optional<uint32_t> input_task;  // one alone
  uint32_t kill_wait_seconds = 30;     // Slurm's KillWait
  const Options* options = nullptr;
};

// `daemons` are connections that a DaemonOrder has been queued on, by node of the grant. Returns
// what srun exits with.
Result<int> RunStep(StepRunOptions options, std::vector<FrameSocket> daemons);

}  // namespace holdfast::pod
