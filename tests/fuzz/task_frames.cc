// What a job's user can send to the warden, which is root (pod/task_link.h).
#include <sys/socket.h>

#include "base/unique_fd.h"
#include "pod/launch.h"
#include "pod/task_link.h"
#include "tests/fuzz/fuzz.h"

namespace holdfast::fuzz {

using pod::Frame;
using pod::FrameType;

void Feed(std::string_view bytes) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return;
  const UniqueFd warden(ends[0]);
  UniqueFd user(ends[1]);
  if (::send(user.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) < 0) return;
  user = UniqueFd();
  while (const auto frame = pod::ReceiveFrame(warden)) {
    if (frame->type != FrameType::kLaunch) continue;
    if (const auto launch = pod::ParseLaunch(frame->launch))
      Must(Serialize(*launch) == frame->launch, "a launch is read as it was written");
  }
}

std::vector<std::string> Seeds() {
  const pod::Launch launch{.argv = {"script", "x"},
                           .environment = {"A=1"},
                           .script = "#!/bin/sh\n",
                           .cwd = "/tmp",
                           .limits = {{.resource = 3, .soft = 8, .hard = 9}},
                           .input = {"/dev/null"},
                           .output = {"out", true},
                           .error = {},
                           .note = "back"};
  std::vector<std::string> seeds;
  for (const Frame& frame :
       {Frame{.type = FrameType::kLaunch, .launch = Serialize(launch)},
        Frame{.type = FrameType::kSignal, .signal = 15},
        Frame{.type = FrameType::kEnded, .status = {.code = 1}},
        Frame{.type = FrameType::kFailed, .message = "why"},
        Frame{.type = FrameType::kReleased, .leave = true}, Frame{.type = FrameType::kDelivered}}) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) break;
    const UniqueFd from(ends[0]), to(ends[1]);
    if (!SendFrame(from, frame)) break;
    char buffer[4096];
    const ssize_t size = ::recv(to.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (size > 0) seeds.emplace_back(buffer, static_cast<size_t>(size));
  }
  return seeds;
}

}  // namespace holdfast::fuzz
