#include "warden/loop/signals.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "base/log.h"
#include "pod/signals.h"
#include "warden/isolation/pod.h"
#include "warden/loop/timeline.h"

namespace holdfast::warden {
namespace {

// How long a signal waits for a coordinator that is away before the job gets it all the same.
constexpr std::chrono::seconds kPatience{2};

}  // namespace

Status RelaySignal(const Pod& pod, int signal, bool to_batch) {
  HOLDFAST_TRY(const pid_t root, pod.OuterPid(pod.root_pid()));
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, root, 0)));
  siginfo_t info = {};
  info.si_signo = pod::kRelaySignal;
  info.si_code = SI_QUEUE;
  info.si_value = pod::EncodeRelayedSignal({.signal = signal, .to_batch = to_batch});
  if (!process.valid() ||
      ::syscall(SYS_pidfd_send_signal, process.get(), pod::kRelaySignal, &info, 0) != 0)
    return FailErrno(fmt::format("delivering signal {}", signal));
  return {};
}

void Signals::Take(int signal, bool from_batch) {
  const char* const name = ::sigabbrev_np(signal);
  const std::string detail = name ? fmt::format("SIG{}", name) : fmt::format("{}", signal);
  log::Info("signal", {{"signal", detail}, {"from_batch", from_batch}});
  channel_.Send(MakeEvent("signal", 0, {}, detail));
  const Waiting waiting{.signal = signal, .from_batch = from_batch, .came = now_()};
  Tell(waiting);
  std::erase_if(waiting_, [&](const Waiting& other) {
    return other.signal == signal && other.from_batch == from_batch;
  });
  waiting_.push_back(waiting);
}

void Signals::Tell(const Waiting& waiting) {
  v1::FromWarden message;
  message.mutable_notice()->set_kind(v1::Notice::SIGNAL);
  message.mutable_notice()->set_signal(waiting.signal);
  message.mutable_notice()->set_from_batch(waiting.from_batch);
  channel_.Send(std::move(message));
}

void Signals::Repeat() {
  for (const Waiting& waiting : waiting_) Tell(waiting);
}

void Signals::Tire(State state) {
  if (channel_.attached()) return;
  const auto now = now_();
  std::erase_if(waiting_, [&](const Waiting& waiting) {
    // SIGTERM may be a preemption, which is the coordinator's to save the job from when it is
    // back; the job would only die of it.
    if (waiting.signal == SIGTERM || now - waiting.came < kPatience) return false;
    Deliver(waiting.signal, waiting.from_batch, state);
    return true;
  });
}

void Signals::Obey(const v1::Deliver& order, State state) {
  std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.signal == order.signal(); });
  Deliver(order.signal(), order.to_batch(), state);
}

void Signals::Deliver(int signal, bool to_batch, State state) {
  switch (state) {
    case State::kAttaching:
    case State::kCreating:
    case State::kReady:
    case State::kStarting:
      kept_.emplace_back(signal, to_batch);
      return;
    case State::kUnusable:
    case State::kReleasing:
    case State::kReleased:
    case State::kEnded:
      return;
    default:
      break;
  }
  const Status queued = operations_.Signal(signal, to_batch);
  if (queued)
    log::Info("delivered", {{"signal", signal}, {"to_batch", to_batch}});
  else
    log::Failure("deliver", queued.error());
}

void Signals::DeliverKept(State state) {
  for (const auto& [signal, to_batch] : std::exchange(kept_, {})) Deliver(signal, to_batch, state);
}

}  // namespace holdfast::warden
