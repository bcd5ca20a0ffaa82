#include "coordinator/admission.h"

#include <fmt/format.h>

#include <string>

namespace holdfast::coordinator {

Status CheckHello(const v1::Hello& hello, const Record& record) {
  const auto deny = [&](const std::string& why) {
    return Fail(Code::kDenied, fmt::format("job {}, pod {} on {}: {}", hello.job_id(), hello.pod(),
                                           hello.node(), why));
  };
  if (record.state == Record::State::kGone) return deny("Slurm does not know the job");
  if (hello.phase() == v1::PHASE_FRESH && record.state != Record::State::kRunning)
    return deny("Slurm says that the job is " + record.state_name);
  if (hello.restart_count() != record.restart_count && record.state == Record::State::kRunning)
    return deny(fmt::format("this is start {} of the job; Slurm's is {}", hello.restart_count(),
                            record.restart_count));
  if (hello.uid() != record.uid)
    return deny(fmt::format("the job belongs to uid {}, not {}", record.uid, hello.uid()));
  // Slurm clears the list when the job has left its nodes; then a reconnecting pod is about to end
  // anyway.
  if (record.state != Record::State::kRunning) return {};
  if (hello.pods() != record.nodes.size() || hello.pod() >= record.nodes.size() ||
      record.nodes[hello.pod()] != hello.node())
    return deny(fmt::format("it is not node {} of the job's {}", hello.pod(), record.nodes.size()));
  return {};
}

}  // namespace holdfast::coordinator
