#include "pod/steps/desk.h"

#include <algorithm>

namespace holdfast::pod {

void Desk::Take(UniqueFd connection) {
  callers_.push_back({.socket = FrameSocket(std::move(connection))});
  Serve();
}

void Desk::AddTo(std::vector<pollfd>& fds) const {
  for (const Caller& caller : callers_)
    fds.push_back({.fd = caller.socket.fd(), .events = caller.socket.events(), .revents = 0});
}

void Desk::Serve() {
  for (Caller& caller : callers_) Read(caller);
  // What ended makes room for those who wait.
  std::erase_if(callers_, [&](const Caller& caller) {
    const bool gone = caller.socket.closed() || caller.leaving;
    if (gone && caller.step) allocator_.Release(*caller.step);
    return gone;
  });
  for (Caller& caller : callers_)
    if (caller.waiting) Try(caller);
}

void Desk::Read(Caller& caller) {
  caller.socket.Pump();
  while (const auto message = caller.socket.Next()) {
    if (message->type == RshFrame::kStepOver) caller.leaving = true;
    if (message->type != RshFrame::kAskStep) continue;
    auto request = ParseStepRequest(message->data);
    if (!request || caller.step)
      caller.leaving = true;
    else
      caller.waiting = std::move(*request);
  }
}

void Desk::Try(Caller& caller) {
  auto answer = allocator_.Allocate(*caller.waiting);
  if (const auto* grant = std::get_if<StepGrant>(&answer)) {
    caller.step = grant->step;
    caller.waiting.reset();
    caller.socket.Queue(RshFrame::kStepMade, Serialize(*grant));
  } else if (const Refusal& refusal = std::get<Refusal>(answer); refusal.for_ever) {
    caller.waiting.reset();
    caller.socket.Queue(RshFrame::kStepNever, refusal.reason);
  } else if (!caller.told) {
    caller.told = true;
    caller.socket.Queue(RshFrame::kStepWaits, refusal.reason);
  }
  caller.socket.Pump();
}

}  // namespace holdfast::pod
