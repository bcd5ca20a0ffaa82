#include "pod/task.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <array>
#include <optional>
#include <thread>

#include "base/numbers.h"
#include "pod/abstract_socket.h"
#include "pod/batch.h"
#include "pod/signal_fd.h"
#include "pod/task_link.h"

namespace holdfast::pod {
namespace {

// A warden that died took its pod with it. The coordinator then has the job requeued; if it does
// not, the job must not seem to run for ever.
constexpr std::chrono::minutes kLostWardenPatience{5};
// The warden has said its last word and takes down the pod's network. What is still there when
// slurmstepd sees this task's end makes it sleep for a second (proctrack_p_wait of Slurm), which
// would be a second more until the job can start elsewhere.
constexpr std::chrono::seconds kWardenEndPatience{1};
constexpr std::chrono::milliseconds kWardenEndPause{2};

class Task {
 public:
  explicit Task(TaskLinks links) : links_(std::move(links)) {}

  Result<ExitStatus> Run() {
    HOLDFAST_TRY(signals_, OpenSignalFd(JobSignals()));
    while (!ended_) {
      std::array<pollfd, 3> fds{{{.fd = signals_.get(), .events = POLLIN},
                                 {.fd = links_.warden.get(), .events = POLLIN},
                                 {.fd = links_.batch.get(), .events = POLLIN}}};
      const auto patience = std::chrono::milliseconds(kLostWardenPatience);
      const int timeout_ms = links_.warden.valid() ? -1 : static_cast<int>(patience.count());
      const int ready = ::poll(fds.data(), fds.size(), timeout_ms);
      if (ready < 0 && errno != EINTR) return FailErrno("poll");
      if (ready == 0) return OnAbandoned();
      if (fds[0].revents) HOLDFAST_CHECK(OnSignal());
      if (fds[1].revents) HOLDFAST_CHECK(OnWarden());
      if (fds[2].revents) OnBatch();
    }
    AwaitWarden();
    return *ended_;
  }

 private:
  Status OnSignal() {
    HOLDFAST_TRY(const signalfd_siginfo info, ReadSignal(signals_));
    const int signal = static_cast<int>(info.ssi_signo);
    if (!links_.warden.valid()) {
      // Nobody is left to act upon it: Slurm is taking the job away.
      if (signal == SIGTERM) ended_ = ExitStatus{.signal = SIGTERM};
      return {};
    }
    ToWarden({.type = FrameType::kSignal, .signal = signal});
    return {};
  }

  Status OnWarden() {
    auto frame = ReceiveFrame(links_.warden);
    if (!frame) {
      links_.warden.Reset();
      return {};
    }
    ToBatch(*frame);
    switch (frame->type) {
      case FrameType::kEnded:
        ended_ = frame->status;
        return {};
      case FrameType::kFailed:
        return Fail(Code::kUnavailable, frame->message);
      case FrameType::kDelivered:
        return {};
      case FrameType::kRegroup:
      case FrameType::kReleased:
        // Code 0, or srun would kill the tasks of other nodes, whose wardens may not be done.
        ended_ = ExitStatus{};
        return {};
      default:
        return Fail(Code::kInternal, "the warden sent what only a task sends");
    }
  }

  void OnBatch() {
    const auto frame = ReceiveFrame(links_.batch);
    if (frame)
      ToWarden(*frame);
    else
      links_.batch.Reset();  // the batch step is over; Slurm will end this one
  }

  Result<ExitStatus> OnAbandoned() {
    const std::string message =
        "the warden of this node ended unexpectedly, and nobody requeued "
        "the job: see the warden's log, then `holdfast show`";
    ToBatch({.type = FrameType::kFailed, .message = message});
    return Fail(Code::kUnavailable, message);
  }

  // It is this process's child, from before this was this program, and ends when the link does.
  void AwaitWarden() {
    links_.warden.Reset();
    const auto until = std::chrono::steady_clock::now() + kWardenEndPatience;
    while (::waitpid(-1, nullptr, WNOHANG) == 0 && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(kWardenEndPause);
  }

  // A peer that is gone shows as the end of its stream.
  void ToWarden(const Frame& frame) {
    [[maybe_unused]] const Status sent = SendFrame(links_.warden, frame);
  }
  void ToBatch(const Frame& frame) {
    if (!links_.batch.valid()) return;
    [[maybe_unused]] const Status sent = SendFrame(links_.batch, frame);
  }

  TaskLinks links_;
  UniqueFd signals_;
  std::optional<ExitStatus> ended_;
};

}  // namespace

Result<TaskLinks> FindTaskLinks() {
  const char* const warden = ::getenv(kTaskFdVariable);
  const auto fd = ParseNumber<int>(warden ? warden : "");
  if (!fd || ::fcntl(*fd, F_SETFD, FD_CLOEXEC) != 0)
    return Fail(Code::kInvalid,
                "no warden was started beside this task: is holdfast.so in this node's "
                "plugstack.conf?");
  TaskLinks links{.warden = UniqueFd(*fd)};
  const char* const task = ::getenv("SLURM_PROCID");
  if (task == nullptr || std::string_view(task) != "0") return links;
  const char* const name = ::getenv(kPodStepVariable);
  HOLDFAST_TRY(links.batch, ConnectAbstract(name ? name : ""));
  return links;
}

Result<ExitStatus> RunTask(TaskLinks links) { return Task(std::move(links)).Run(); }

}  // namespace holdfast::pod
