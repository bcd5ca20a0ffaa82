#include "warden/loop/signals.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "base/log.h"
#include "pod/signals.h"
#include "warden/isolation/pod.h"
#include "warden/loop/timeline.h"

namespace holdfast::warden {
namespace {

// How long a signal waits for a coordinator that is away before the job gets it all the same.
constexpr std::chrono::seconds kPatience{2};

}  // namespace

Status RelaySignal(const Pod& pod, const pod::RelayedSignal& signal) {
  HOLDFAST_TRY(const pid_t root, pod.OuterPid(pod.root_pid()));
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, root, 0)));
  siginfo_t info = {};
  info.si_signo = pod::kRelaySignal;
  info.si_code = SI_QUEUE;
  info.si_value = pod::EncodeRelayedSignal(signal);
  if (!process.valid() ||
      ::syscall(SYS_pidfd_send_signal, process.get(), pod::kRelaySignal, &info, 0) != 0)
    return FailErrno(fmt::format("delivering signal {}", signal.signal));
  return {};
}

void Signals::Take(const pod::RelayedSignal& signal) {
  const char* const name = ::sigabbrev_np(signal.signal);
  const std::string detail = name ? fmt::format("SIG{}", name) : fmt::format("{}", signal.signal);
  log::Info("signal", {{"signal", detail}, {"scope", static_cast<int>(signal.scope)}});
  channel_.Send(MakeEvent("signal", 0, {}, detail));
  const Waiting waiting{.signal = signal, .came = now_()};
  Tell(waiting);
  std::erase_if(waiting_, [&](const Waiting& other) { return other.signal == signal; });
  waiting_.push_back(waiting);
}

void Signals::Tell(const Waiting& waiting) {
  v1::FromWarden message;
  message.mutable_notice()->set_kind(v1::Notice::SIGNAL);
  message.mutable_notice()->set_signal(waiting.signal.signal);
  message.mutable_notice()->set_scope(static_cast<v1::SignalScope>(waiting.signal.scope));
  channel_.Send(std::move(message));
}

void Signals::Repeat() {
  for (const Waiting& waiting : waiting_) Tell(waiting);
}

void Signals::Tire(State state) {
  if (channel_.attached() || state != State::kRunning) return;
  const auto now = now_();
  std::erase_if(waiting_, [&](const Waiting& waiting) {
    // SIGTERM may be a preemption, which is the coordinator's to save the job from when it is
    // back; the job would only die of it.
    if (waiting.signal.signal == SIGTERM || now - waiting.came < kPatience) return false;
    Deliver(waiting.signal, state);
    return true;
  });
}

void Signals::Obey(const v1::Deliver& order, State state) {
  const pod::RelayedSignal signal{.signal = order.signal(),
                                  .scope = static_cast<pod::SignalScope>(order.scope())};
  std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.signal == signal; });
  Deliver(signal, state);
}

void Signals::Deliver(const pod::RelayedSignal& signal, State state) {
  switch (state) {
    case State::kAttaching:
    case State::kCreating:
    case State::kReady:
    case State::kStarting:
      kept_.push_back(signal);
      return;
    case State::kUnusable:
    case State::kReleasing:
    case State::kReleased:
    case State::kEnded:
      return;
    default:
      break;
  }
  const Status queued = operations_.Signal(signal);
  if (queued)
    log::Info("delivered", {{"signal", signal.signal}, {"scope", static_cast<int>(signal.scope)}});
  else
    log::Failure("deliver", queued.error());
}

void Signals::DeliverKept(State state) {
  for (const pod::RelayedSignal& signal : std::exchange(kept_, {})) Deliver(signal, state);
}

}  // namespace holdfast::warden
