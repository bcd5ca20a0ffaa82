#include "pod/steps/daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
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
#include "pod/mpi_environment.h"
#include "pod/pod_directory.h"
#include "pod/signal_fd.h"
#include "pod/steps/environment.h"
#include "pod/steps/leftovers.h"
#include "pod/steps/messages.h"
#include "pod/steps/mpi/pmi_server.h"
#include "pod/steps/mpi/pmix_link.h"
#include "pod/steps/task.h"
#include "pod/steps/task_stream.h"

namespace holdfast::pod {
namespace {

// Tasks that end at about the same time are told of together.
constexpr std::chrono::milliseconds kTogether{20};
constexpr int kTogetherMs = kTogether.count();

using Clock = std::chrono::steady_clock;

class Daemon : private PmiHost {
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
    ProvideHosts();
    AllowDescriptors();
    if (Status started = StartTasks(); !started) {
      KillLeftovers();
      return started;
    }
    TakeFrames();  // those that came with the order
    WriteInput();
    while (Running() > 0 && !socket_.closed()) HOLDFAST_CHECK(Turn());
    KillLeftovers();
    Reap();
    const Status finished = Finish();
    if (order_.mpi.pmix) HOLDFAST_CHECK(RemoveTree(PmixDirectory(order_)));
    return finished;
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

  // For an mpirun among the tasks; pod 0 has had them since the job began. Without them it says so
  // itself.
  void ProvideHosts() const {
    if (FileExists(kMpichHostsPath)) return;
    const auto text = ReadFile(kPeersPath);
    const auto peers = text ? ParsePeers(*text) : std::unexpected(text.error());
    if (!peers) return;
    const auto slots = SlotsOf(order_.common.environment, peers->size());
    if (!slots) return;
    [[maybe_unused]] const Status open_mpi =
        WriteFile(kHostsPath, OpenMpiHosts(*peers, *slots), 0600);
    [[maybe_unused]] const Status mpich =
        WriteFile(kMpichHostsPath, MpichHosts(*peers, *slots), 0600);
  }

  // Each task needs some of them here, and a connection to the PMIx server. The tasks' own limit
  // stays what it is.
  void AllowDescriptors() {
    rlimit limit;
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    if (!std::ranges::contains(order_.common.limits, RLIMIT_NOFILE, &Limit::resource))
      order_.common.limits.push_back(
          {.resource = RLIMIT_NOFILE, .soft = limit.rlim_cur, .hard = limit.rlim_max});
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
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
    if (const Status offered = OfferMpi(); !offered) {
      Complain(0, offered.error().message());
      tasks_.resize(order_.tasks.size());
      for (Task& task : tasks_) task.status.code = EXIT_FAILURE;
      return {};
    }
    HOLDFAST_TRY(const UniqueFd order, FileInMemory(Serialize(order_)));
    tasks_.resize(order_.tasks.size());
    for (size_t i = 0; i < tasks_.size(); ++i) {
      HOLDFAST_TRY(Pipe input, MakePipe());
      HOLDFAST_TRY(Pipe output, MakePipe());
      HOLDFAST_TRY(Pipe error, MakePipe());
      std::vector<std::pair<int, int>> fds{{input.read_end.get(), STDIN_FILENO},
                                           {output.write_end.get(), STDOUT_FILENO},
                                           {error.write_end.get(), STDERR_FILENO}};
      UniqueFd pmi;
      if (pmi_) {
        HOLDFAST_TRY(pmi, pmi_->Connect(i));
        fds.emplace_back(pmi.get(), kPmiFd);
      }
      HOLDFAST_TRY(Process process, StartTask(order, i, std::move(fds)));
      Task& task = tasks_[i];
      task.pid = process.Release();
      task.running = true;
      task.input = TaskInput(std::move(input.write_end));
      task.output = TaskOutput(std::move(output.read_end), order_.line_buffered);
      task.error = TaskOutput(std::move(error.read_end), order_.line_buffered);
    }
    return {};
  }

  // Before the tasks, which are told of it in their environment.
  Status OfferMpi() {
    if (order_.mpi.pmi) {
      HOLDFAST_TRY(pmi_, PmiServer::Open({.name = std::to_string(order_.job) + "." +
                                                  std::to_string(order_.step),
                                          .tasks = order_.tasks,
                                          .size = order_.mpi.tasks,
                                          .mapping = order_.mpi.mapping},
                                         *this));
    }
    if (!order_.mpi.pmix) return {};
    auto link = PmixLink::Start(order_);
    if (!link) return order_.mpi.pmix_needed ? std::unexpected(link.error()) : Status();
    for (const std::string& variable : link->common())
      if (const size_t equals = variable.find('='); equals != std::string::npos)
        SetVariable(order_.common.environment, variable.substr(0, equals),
                    variable.substr(equals + 1));
    order_.task_environment = link->of_tasks();
    pmix_.emplace(std::move(*link));
    return {};
  }

  // PmiHost.
  void Contribute(const Contribution& contribution) override {
    socket_.Queue(RshFrame::kContribute, Serialize(contribution));
  }
  void Complain(size_t index, const std::string& line) override {
    socket_.Queue(
        RshFrame::kTaskError,
        Serialize(order_.tasks[index], "slurmstepd-" + order_.host + ": error: " + line + "\n"));
  }
  void Abort() override { socket_.Queue(RshFrame::kStepAbort, Serialize(AbortWish())); }

  size_t Running() const {
    return static_cast<size_t>(std::ranges::count_if(tasks_, &Task::running));
  }

  Status Turn() {
    // While the connection is full, the tasks' output waits in their pipes.
    const bool room = !socket_.has_unsent();
    std::vector<pollfd> fds{
        {socket_.fd(), socket_.events(), 0},
        {signals_.get(), POLLIN, 0},
        {pmi_ ? pmi_->fd() : -1, POLLIN, 0},
        {pmix_ ? pmix_->socket().fd() : -1, pmix_ ? pmix_->socket().events() : short{0}, 0}};
    const size_t of_tasks = fds.size();
    for (const Task& task : tasks_) {
      fds.push_back({room ? task.output.fd() : -1, POLLIN, 0});
      fds.push_back({room ? task.error.fd() : -1, POLLIN, 0});
      fds.push_back({task.input.waits() ? task.input.fd() : -1, POLLOUT, 0});
    }
    if (::poll(fds.data(), fds.size(), tell_at_ ? kTogetherMs : -1) < 0 && errno != EINTR)
      return FailErrno("poll");
    if (fds[1].revents != 0) HOLDFAST_CHECK(TakeSignal());
    if (fds[2].revents != 0) pmi_->Serve();
    if (pmix_) ServePmix();
    socket_.Pump();
    TakeFrames();
    const auto said = [](const pollfd& polled) { return polled.revents != 0; };
    if (std::any_of(fds.begin() + static_cast<ptrdiff_t>(of_tasks), fds.end(), said))
      ForwardOutput();
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
      } else if (message->type == RshFrame::kGathered) {
        const auto gathered = ParseGathered(message->data);
        if (gathered && pmi_ && pmi_->Deliver(*gathered)) continue;
        if (pmix_) pmix_->socket().Queue(message->type, message->data);
      } else if (message->type == RshFrame::kLetter && pmix_) {
        pmix_->socket().Queue(message->type, message->data);
      }
    }
  }

  void ServePmix() {
    FrameSocket& socket = pmix_->socket();
    socket.Pump();
    while (const auto message = socket.Next()) socket_.Queue(message->type, message->data);
    // Tasks that need it see it gone themselves.
    if (socket.closed()) pmix_.reset();
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
  std::optional<PmiServer> pmi_;
  std::optional<PmixLink> pmix_;
  bool input_untold_ = false;
  std::optional<Clock::time_point> tell_at_;  // when the ends that srun has not heard of are told
};

}  // namespace

Status ServeStep(UniqueFd connection) { return Daemon(std::move(connection)).Serve(); }

}  // namespace holdfast::pod
