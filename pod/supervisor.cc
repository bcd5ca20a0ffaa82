#include "pod/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "base/files.h"
#include "pod/abstract_socket.h"
#include "pod/batch.h"
#include "pod/capture.h"
#include "pod/signal_fd.h"
#include "pod/signals.h"
#include "pod/task_link.h"

namespace holdfast::pod {
namespace {

// How long the pod step may take to end once the script has; its accounting record is complete
// then.
constexpr std::chrono::seconds kStepEndPatience{10};

std::optional<std::string_view> Find(const std::vector<std::string>& environment,
                                     std::string_view name) {
  for (const std::string_view entry : environment)
    if (entry.starts_with(name) && entry.substr(name.size()).starts_with('='))
      return entry.substr(name.size() + 1);
  return std::nullopt;
}

// Slurm's variables that describe the job, and the way to Slurm. Others would be taken by srun for
// options of the step: SLURM_CPUS_PER_TASK alone would take the job's other CPUs from the pods.
bool SrunNeeds(std::string_view entry) {
  constexpr std::array<std::string_view, 13> kPrefixes{"PATH=",
                                                       "HOME=",
                                                       "USER=",
                                                       "LANG=",
                                                       "SLURM_CONF=",
                                                       "SLURM_JOB_",
                                                       "SLURM_JWT=",
                                                       "SLURM_CLUSTER_",
                                                       "SLURM_JOBID=",
                                                       "SLURM_WORKING_CLUSTER=",
                                                       "SLURM_SPANK_",
                                                       "SLURM_SACK_",
                                                       "SLURM_RESTART_COUNT="};
  return std::ranges::any_of(kPrefixes,
                             [&](std::string_view prefix) { return entry.starts_with(prefix); });
}

Result<std::string> RandomName() {
  std::array<unsigned char, 16> bytes;
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return FailErrno("getrandom");
  std::string name = "holdfast-";
  for (const unsigned char byte : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    name += kDigits[byte >> 4];
    name += kDigits[byte & 15];
  }
  return name;
}

class Supervisor {
 public:
  explicit Supervisor(Launch launch) : launch_(std::move(launch)) {}

  Result<ExitStatus> Run() {
    HOLDFAST_TRY(signals_, OpenSignalFd(JobSignals()));
    HOLDFAST_CHECK(StartStep());
    while (!ended_) {
      std::array<pollfd, 5> fds{{{.fd = signals_.get(), .events = POLLIN},
                                 {.fd = listener_.get(), .events = POLLIN},
                                 {.fd = task_.get(), .events = POLLIN},
                                 {.fd = step_output_.get(), .events = POLLIN},
                                 {.fd = step_->pidfd().get(), .events = POLLIN}}};
      if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return FailErrno("poll");
      if (fds[0].revents) HOLDFAST_CHECK(OnSignal());
      if (fds[1].revents) HOLDFAST_CHECK(OnConnection());
      if (fds[2].revents) HOLDFAST_CHECK(OnFrame());
      if (fds[3].revents) OnStepOutput();
      if (fds[4].revents && !ended_) HOLDFAST_CHECK(OnStepEnd());
    }
    return *ended_;
  }

 private:
  Status StartStep() {
    HOLDFAST_TRY(const std::string name, RandomName());
    HOLDFAST_TRY(listener_, ListenAbstract(name));
    std::error_code error;
    const std::string program = std::filesystem::read_symlink("/proc/self/exe", error);
    if (error) return std::unexpected(Error::FromErrno("finding this program", error.value()));
    // This process's own environment: SPANK's variables must reach the step.
    std::vector<std::string> environment;
    for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
    HOLDFAST_TRY(SpawnOptions srun, PodStepCommand(environment, program, name));
    HOLDFAST_TRY(Pipe output, MakePipe());
    srun.fds = {{output.write_end.get(), 1}, {output.write_end.get(), 2}};
    HOLDFAST_TRY(step_, Process::Spawn(srun));
    step_output_ = std::move(output.read_end);
    return {};
  }

  Status OnSignal() {
    HOLDFAST_TRY(const signalfd_siginfo info, ReadSignal(signals_));
    const int signal = static_cast<int>(info.ssi_signo);
    terminated_ |= signal == SIGTERM;
    // Slurm takes a released job away with SIGTERM; there is nobody left to pass it to.
    if (signal == kLeaveSignal || (released_ && signal == SIGTERM)) {
      ended_ = ExitStatus{.signal = SIGTERM};
      return {};
    }
    early_signals_.push_back(signal);
    return SendSignals();
  }

  Status SendSignals() {
    if (!task_.valid()) return {};
    for (const int signal : std::exchange(early_signals_, {})) {
      // If the task is gone, its end tells.
      [[maybe_unused]] const Status sent =
          SendFrame(task_, {.type = FrameType::kSignal, .signal = signal, .from_batch = true});
    }
    return {};
  }

  Status OnConnection() {
    HOLDFAST_TRY(UniqueFd connection, AcceptAbstract(listener_));
    if (!connection.valid()) return {};  // somebody else's
    task_ = std::move(connection);
    listener_.Reset();
    HOLDFAST_CHECK(SendFrame(task_, {.type = FrameType::kLaunch, .launch = Serialize(launch_)}));
    return SendSignals();
  }

  Status OnFrame() {
    const auto frame = ReceiveFrame(task_);
    if (!frame) {
      task_.Reset();
      return {};  // the step's end tells why
    }
    switch (frame->type) {
      case FrameType::kEnded: {
        ended_ = frame->status;
        // Late or failed, it does not change how the script ended.
        [[maybe_unused]] const auto step = step_->Wait(kStepEndPatience);
        return {};
      }
      case FrameType::kFailed:
        return Fail(Code::kUnavailable, frame->message);
      case FrameType::kReleased:
        released_ = true;
        return {};
      default:
        return Fail(Code::kInternal, "the pod step sent what only holdfast-batch sends");
    }
  }

  // Before the pods run, srun's messages say why they do not yet; afterwards they tell of the
  // job's end, which the supervisor reports itself, and are wanted only if it cannot.
  void OnStepOutput() {
    char buffer[4096];
    const ssize_t n = ::read(step_output_.get(), buffer, sizeof buffer);
    if (n <= 0) {
      step_output_.Reset();
    } else if (listener_.valid()) {
      std::fwrite(buffer, 1, static_cast<size_t>(n), stderr);
    } else {
      constexpr size_t kKeptBytes = 16384;
      step_messages_.append(buffer, static_cast<size_t>(n));
      if (step_messages_.size() > kKeptBytes)
        step_messages_.erase(0, step_messages_.size() - kKeptBytes);
    }
  }

  Status OnStepEnd() {
    if (released_) {
      // Slurm ends the step first, then this.
      HOLDFAST_TRY(const signalfd_siginfo info, ReadSignal(signals_));
      if (info.ssi_signo == SIGTERM || info.ssi_signo == kLeaveSignal)
        ended_ = ExitStatus{.signal = SIGTERM};
      return {};
    }
    while (task_.valid() && !ended_ && !released_) HOLDFAST_CHECK(OnFrame());
    if (ended_ || released_) return {};
    HOLDFAST_TRY(const ExitStatus status, step_->Wait());
    if (terminated_) {
      ended_ = ExitStatus{.signal = SIGTERM};
      return {};
    }
    while (step_output_.valid()) OnStepOutput();
    std::fputs(step_messages_.c_str(), stderr);
    return Fail(Code::kInternal,
                "the step that holds the job's processes ended before the script (" +
                    status.ToString() + ")");
  }

  Launch launch_;
  UniqueFd signals_, listener_, task_, step_output_;
  std::optional<Process> step_;
  std::string step_messages_;
  std::vector<int> early_signals_;  // before there is a task to send them to
  bool terminated_ = false;         // SIGTERM came
  bool released_ = false;
  std::optional<ExitStatus> ended_;
};

}  // namespace

Result<SpawnOptions> PodStepCommand(const std::vector<std::string>& environment,
                                    const std::string& program, const std::string& socket_name) {
  const auto nodes = Find(environment, "SLURM_JOB_NUM_NODES");
  if (!nodes) return Fail(Code::kInvalid, "SLURM_JOB_NUM_NODES is not set: this is no batch step");
  SpawnOptions command;
  command.argv = {"srun",
                  "--overlap",
                  "--job-name=holdfast",
                  "--nodes=" + std::string(*nodes),
                  "--ntasks=" + std::string(*nodes),
                  "--ntasks-per-node=1",
                  "--mem=0",
                  "--cpu-bind=none",
                  "--mpi=none",
                  "--input=none",
                  "--kill-on-bad-exit=1",
                  "--wait=0",
                  "--export=" + std::string(kPodStepVariable),
                  program,
                  "--task"};
  command.env.emplace();
  std::ranges::copy_if(environment, std::back_inserter(*command.env), SrunNeeds);
  command.env->push_back(std::string(kPodStepVariable) + "=" + socket_name);
  return command;
}

Result<ExitStatus> Supervise(std::vector<std::string> script_argv) {
  HOLDFAST_TRY(Launch launch, CaptureLaunch(std::move(script_argv)));
  return Supervisor(std::move(launch)).Run();
}

}  // namespace holdfast::pod
