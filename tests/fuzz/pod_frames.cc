// What processes of a job send to srun, to the allocator and to step daemons: frames
// (pod/frame_socket.h) and what is in them. What is accepted must be what Serialize writes.
#include <sys/socket.h>

#include "base/unique_fd.h"
#include "pod/frame_socket.h"
#include "pod/steps/messages.h"
#include "pod/steps/mpi/exchange.h"
#include "pod/steps/mpi/gathering.h"
#include "tests/fuzz/fuzz.h"

namespace holdfast::fuzz {

using pod::RshFrame;

namespace {

template <class Parsed>
void Strict(const Result<Parsed>& parsed, std::string_view bytes) {
  if (parsed) Must(Serialize(*parsed) == bytes, "a message is read as it was written");
}

void Read(const pod::RshMessage& message, pod::Gathering& gathering) {
  const std::string& data = message.data;
  switch (message.type) {
    case RshFrame::kRun:
      return Strict(pod::ParseLaunch(data), data);
    case RshFrame::kAskStep:
      return Strict(pod::ParseStepRequest(data), data);
    case RshFrame::kStepMade:
      return Strict(pod::ParseStepGrant(data), data);
    case RshFrame::kRunStep:
      return Strict(pod::ParseDaemonOrder(data), data);
    case RshFrame::kTaskExits:
      return Strict(pod::ParseTaskExits(data), data);
    case RshFrame::kTaskOutput:
    case RshFrame::kTaskError:
    case RshFrame::kStepInput:
      if (const auto parsed = pod::ParseTaskData(data))
        Must(pod::Serialize(parsed->first, parsed->second) == data, "data is read as written");
      return;
    case RshFrame::kContribute:
      if (auto parsed = pod::ParseContribution(data)) {
        Must(Serialize(*parsed) == data, "a contribution is read as it was written");
        for (uint32_t node = 0; node < 3; ++node) (void)gathering.Add(node, *parsed);
      }
      return;
    case RshFrame::kGathered:
      return Strict(pod::ParseGathered(data), data);
    case RshFrame::kLetter:
      return Strict(pod::ParseLetter(data), data);
    case RshFrame::kStepAbort:
      return Strict(pod::ParseAbortWish(data), data);
    default:
      return;
  }
}

std::string Framed(RshFrame type, std::string_view data) {
  const auto size = static_cast<uint32_t>(data.size());
  std::string frame(reinterpret_cast<const char*>(&size), sizeof size);
  frame += static_cast<char>(type);
  return frame.append(data);
}

}  // namespace

void Feed(std::string_view bytes) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return;
  UniqueFd user(ends[1]);
  pod::FrameSocket socket{UniqueFd(ends[0])};
  if (::send(user.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) < 0) return;
  user = UniqueFd();
  socket.Pump();
  pod::Gathering gathering(3);
  while (const auto message = socket.Next()) Read(*message, gathering);
}

std::vector<std::string> Seeds() {
  pod::DaemonOrder order{.job = 1, .step = 2, .host = "n1", .tasks = {4, 5}};
  order.programs = {{"/bin/true"}, {"/bin/false", "x"}};
  order.program_of = {0, 1};
  order.binding.cpus = {{0}, {1}};
  order.input = order.output = order.error = {"", "f"};
  order.mpi = {.pmi = true, .tasks = 8, .hosts = "n[1-2]", .mapping = "(vector,(0,2,4))"};
  order.task_environment = {{"A=1"}, {}};
  pod::StepRequest request{.tasks = 3, .min_nodes = 1, .max_nodes = 2};
  request.relative = 1;
  request.hosts = {"n1"};
  const pod::StepGrant grant{.step = 9,
                             .nodes = {{.pod = 1, .host = "n2", .tasks = {0, 2}, .cpus = {1}}}};
  const pod::Launch launch{.argv = {"a"}, .environment = {"A=1"}, .cwd = "/"};
  return {
      Framed(RshFrame::kRun, Serialize(launch)),
      Framed(RshFrame::kAskStep, Serialize(request)),
      Framed(RshFrame::kStepMade, Serialize(grant)),
      Framed(RshFrame::kRunStep, Serialize(order)),
      Framed(RshFrame::kTaskExits,
             Serialize(std::vector<pod::TaskExit>{{.task = 1, .status = {.code = 2}}})),
      Framed(RshFrame::kTaskOutput, pod::Serialize(3, "text\n")),
      Framed(RshFrame::kContribute, Serialize(pod::Contribution{"fence", {0, 2}, "data"})) +
          Framed(RshFrame::kContribute, Serialize(pod::Contribution{"fence", {}, ""})),
      Framed(RshFrame::kGathered, Serialize(pod::Gathered{"fence", "data"})),
      Framed(RshFrame::kLetter, Serialize(pod::Letter{.node = 1, .data = "x"})),
      Framed(RshFrame::kStepAbort, Serialize(pod::AbortWish{.code = 3, .ending_task = 1})),
  };
}

}  // namespace holdfast::fuzz
