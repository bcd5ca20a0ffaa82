#include "pod/steps/daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <optional>

#include "base/files.h"
#include "base/numbers.h"
#include "pod/frame_socket.h"
#include "pod/signal_fd.h"
#include "pod/steps/leftovers.h"
#include "pod/steps/messages.h"
#include "pod/steps/task.h"
#include "pod/steps/task_stream.h"

namespace holdfast::pod {
namespace {

// Tasks that end at about the same time are told of together.
constexpr std::chrono::milliseconds kTogether{20};
constexpr int kTogetherMs = kTogether.count();

using Clock = std::chrono::steady_clock;

class Daemon {
 public:
  explicit Daemon(UniqueFd connection) : socket_(std::move(connection)) {}

  Status Serve() {
    ::signal(SIGPIPE, SIG_IGN);  // a task may stop reading
    // What tasks leave behind becomes ours, to be ended with the step.
    if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return FailErrno("prctl");
    sigset_t watched = JobSignals();
    sigaddset(&watched, SIGCHLD);
    HOLDFAST_TRY(signals_, OpenSignalFd(watched));
    HOLDFAST_CHECK(ReadOrder());
    if (Status started = StartTasks(); !started) {
      KillLeftovers();
      return started;
    }
    TakeFrames();  // those that came with the order
    WriteInput();
    while (Running() > 0 && !socket_.closed()) HOLDFAST_CHECK(Turn());
    KillLeftovers();
    Reap();
    return Finish();
  }

 private:
  struct Task {
    pid_t pid = -1;
    bool running = false, told = false;
    ExitStatus status;
    TaskInput input;
    TaskOutput output, error;
  };

  Status ReadOrder() {
    std::optional<RshMessage> request;
    while (!(request = socket_.Next())) {
      if (socket_.closed()) return Fail(Code::kUnavailable, "srun went before it asked");
      pollfd polled{.fd = socket_.fd(), .events = POLLIN, .revents = 0};
      ::poll(&polled, 1, -1);
      socket_.Pump();
    }
    if (request->type != RshFrame::kRunStep) return Fail(Code::kInvalid, "srun asked for nothing");
    HOLDFAST_TRY(order_, ParseDaemonOrder(request->data));
    return {};
  }

  Status CopyProgram() const {
    if (order_.copy_to.empty()) return {};
    std::error_code error;
    std::filesystem::copy_file(order_.copy_from, order_.copy_to,
                               std::filesystem::copy_options::overwrite_existing, error);
    if (error)
      return std::unexpected(Error::FromErrno(
          "copying " + order_.copy_from + " to " + order_.copy_to + " on " + order_.host,
          error.value()));
    return {};
  }

  Status StartTasks() {
    // Its tasks say it, too, as Slurm's do.
    if (::access(order_.common.cwd.c_str(), X_OK) != 0)
      socket_.Queue(RshFrame::kTaskError, Serialize(order_.tasks[0], NoDirectory(order_, errno)));
    if (const Status copied = CopyProgram(); !copied)
      socket_.Queue(RshFrame::kTaskError,
                    Serialize(order_.tasks[0], copied.error().message() + "\n"));
    UniqueFd order(::memfd_create("order", MFD_CLOEXEC));
    if (!order.valid()) return FailErrno("memfd_create");
    HOLDFAST_CHECK(WriteFull(order, AsBytes(Serialize(order_))));
    tasks_.resize(order_.tasks.size());
    for (size_t i = 0; i < tasks_.size(); ++i) {
      HOLDFAST_TRY(Pipe input, MakePipe());
      HOLDFAST_TRY(Pipe output, MakePipe());
      HOLDFAST_TRY(Pipe error, MakePipe());
      HOLDFAST_TRY(Process process, StartTask(order, i,
                                              {{input.read_end.get(), 0},
                                               {output.write_end.get(), 1},
                                               {error.write_end.get(), 2}}));
      Task& task = tasks_[i];
      task.pid = process.Release();
      task.running = true;
      task.input = TaskInput(std::move(input.write_end));
      task.output = TaskOutput(std::move(output.read_end), order_.line_buffered);
      task.error = TaskOutput(std::move(error.read_end), order_.line_buffered);
    }
    return {};
  }

  size_t Running() const {
    return static_cast<size_t>(std::ranges::count_if(tasks_, &Task::running));
  }

  Status Turn() {
    // While the connection is full, the tasks' output waits in their pipes.
    const bool room = !socket_.has_unsent();
    std::vector<pollfd> fds{{socket_.fd(), socket_.events(), 0}, {signals_.get(), POLLIN, 0}};
    for (const Task& task : tasks_) {
      fds.push_back({room ? task.output.fd() : -1, POLLIN, 0});
      fds.push_back({room ? task.error.fd() : -1, POLLIN, 0});
      fds.push_back({task.input.waits() ? task.input.fd() : -1, POLLOUT, 0});
    }
    if (::poll(fds.data(), fds.size(), tell_at_ ? kTogetherMs : -1) < 0 && errno != EINTR)
      return FailErrno("poll");
    if (fds[1].revents != 0) HOLDFAST_CHECK(TakeSignal());
    socket_.Pump();
    TakeFrames();
    if (room) ForwardOutput();
    WriteInput();
    Reap();
    if (tell_at_ && Clock::now() >= *tell_at_) TellEnds();
    return {};
  }

  Status TakeSignal() {
    HOLDFAST_TRY(const signalfd_siginfo info, ReadSignal(signals_));
    if (static_cast<int>(info.ssi_signo) != SIGCHLD) Signal(static_cast<int>(info.ssi_signo));
    return {};
  }

  void TakeFrames() {
    while (const auto message = socket_.Next()) {
      if (message->type == RshFrame::kStepInput) {
        TakeInput(message->data);
      } else if (message->type == RshFrame::kStepSignal) {
        const auto signal = ParseNumber<int>(message->data);
        if (signal && *signal > 0 && *signal < NSIG) Signal(*signal);
      }
    }
  }

  void Signal(int signal) {
    if (signal == SIGKILL) return KillLeftovers();
    for (const Task& task : tasks_)
      if (task.running) ::kill(task.pid, signal);
  }

  void TakeInput(const std::string& bytes) {
    const auto data = ParseTaskData(bytes);
    if (!data) return;
    for (size_t i = 0; i < tasks_.size(); ++i)
      if (data->first == kAllTasks || data->first == order_.tasks[i])
        tasks_[i].input.Add(data->second);
    input_untold_ = !data->second.empty();
  }

  void WriteInput() {
    bool waits = false;
    for (Task& task : tasks_) {
      task.input.Write();
      waits = waits || task.input.waits();
    }
    if (waits || !input_untold_) return;
    input_untold_ = false;
    socket_.Queue(RshFrame::kInputTaken);
  }

  void ForwardOutput() {
    for (size_t i = 0; i < tasks_.size(); ++i) {
      Send(RshFrame::kTaskOutput, i, tasks_[i].output.Read());
      Send(RshFrame::kTaskError, i, tasks_[i].error.Read());
    }
  }

  void Send(RshFrame type, size_t index, const std::string& data) {
    if (!data.empty()) socket_.Queue(type, Serialize(order_.tasks[index], data));
  }

  void Reap() {
    int status = 0;
    for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      const auto ended = std::ranges::find(tasks_, pid, &Task::pid);
      if (ended == tasks_.end()) continue;
      ended->running = false;
      ended->status = ExitStatus::FromWait(status);
      if (!tell_at_) tell_at_ = Clock::now() + kTogether;
    }
  }

  void TellEnds() {
    tell_at_.reset();
    std::vector<TaskExit> exits;
    for (size_t i = 0; i < tasks_.size(); ++i) {
      Task& task = tasks_[i];
      if (task.running || task.told) continue;
      task.told = true;
      exits.push_back({.task = order_.tasks[i], .status = task.status});
    }
    if (!exits.empty()) socket_.Queue(RshFrame::kTaskExits, Serialize(exits));
  }

  // Nothing runs any more: what is left in the pipes, then the end.
  Status Finish() {
    const auto open = [](const Task& task) {
      return task.output.fd() >= 0 || task.error.fd() >= 0;
    };
    while (std::ranges::any_of(tasks_, open) && !socket_.closed()) {
      if (!socket_.has_unsent()) {
        std::vector<pollfd> fds{{socket_.fd(), POLLIN, 0}};
        for (const Task& task : tasks_)
          for (const int fd : {task.output.fd(), task.error.fd()}) fds.push_back({fd, POLLIN, 0});
        ::poll(fds.data(), fds.size(), -1);
        ForwardOutput();
      }
      Exchange();
    }
    TellEnds();
    socket_.Queue(RshFrame::kStepDone);
    // srun closes when it has all. Were it closed here while input is under way, the kernel would
    // reset the connection and drop what srun has not read yet.
    while (!socket_.closed()) {
      Exchange();
      pollfd polled{.fd = socket_.fd(), .events = socket_.events(), .revents = 0};
      ::poll(&polled, 1, -1);
    }
    return {};
  }

  // Input for tasks that have ended is dropped.
  void Exchange() {
    if (socket_.has_unsent()) {
      pollfd polled{.fd = socket_.fd(), .events = socket_.events(), .revents = 0};
      ::poll(&polled, 1, -1);
    }
    socket_.Pump();
    while (socket_.Next()) {
    }
  }

  FrameSocket socket_;
  UniqueFd signals_;
  DaemonOrder order_;
  std::vector<Task> tasks_;
  bool input_untold_ = false;
  std::optional<Clock::time_point> tell_at_;  // when the ends that srun has not heard of are told
};

}  // namespace

Status ServeStep(UniqueFd connection) { return Daemon(std::move(connection)).Serve(); }

}  // namespace holdfast::pod
