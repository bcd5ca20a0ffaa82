// holdfast-batch SCRIPT [ARG...]: the batch step of a checkpointed job.
// holdfast-batch --task: each task of its pod step.
// holdfast-batch --witness: see pod/group_witness.h.

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "pod/exit_like.h"
#include "pod/group_witness.h"
#include "pod/supervisor.h"
#include "pod/task.h"

namespace {

holdfast::Result<holdfast::ExitStatus> Run(std::vector<std::string> arguments) {
  if (arguments.size() == 1 && arguments[0] == holdfast::pod::kWitnessArgument)
    holdfast::pod::BeWitness();
  if (arguments.size() == 1 && arguments[0] == "--task") {
    HOLDFAST_TRY(holdfast::pod::TaskLinks links, holdfast::pod::FindTaskLinks());
    return holdfast::pod::RunTask(std::move(links));
  }
  return holdfast::pod::Supervise(std::move(arguments));
}

}  // namespace

int main(int argc, char** argv) {
  const auto status = Run({argv + 1, argv + argc});
  if (status) holdfast::pod::ExitLike(*status);
  std::fprintf(stderr, "holdfast: %s\n", status.error().message().c_str());
  return 1;
}
