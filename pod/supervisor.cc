#include "pod/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <tuple>

#include "base/files.h"
#include "base/numbers.h"
#include "pod/abstract_socket.h"
#include "pod/batch.h"
#include "pod/capture.h"
#include "pod/group_witness.h"
#include "pod/signal_fd.h"
#include "pod/signals.h"
#include "pod/task_link.h"

namespace holdfast::pod {
namespace {

// How long the pod step may take to end once the script has; its accounting record is complete
// then.
constexpr std::chrono::seconds kStepEndPatience{10};
// A step that ends before its script does so mostly because Slurm takes the job away, and this
// process with it, or because a warden was killed, for which the coordinator requeues the job, also
// if it has just been started again itself: longer than that takes, nothing is said. The job's
// output is not the place for it, and may by then be written by the job's next start.
constexpr std::chrono::seconds kStepLossPatience{120};

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
  constexpr std::array<std::string_view, 15> kPrefixes{"PATH=",
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
                                                       "SLURM_RESTART_COUNT=",
                                                       kSubmittedVariable,
                                                       kWarningVariable};
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
  Supervisor(Launch launch, UniqueFd stepd)
      : launch_(std::move(launch)), stepd_(std::move(stepd)) {}

  Result<ExitStatus> Run() {
    const auto ended = RunToEnd();
    if (!released_) ShowStepd();
    return ended;
  }

 private:
  Result<ExitStatus> RunToEnd() {
    HOLDFAST_TRY(signals_, OpenSignalFd(JobSignals()));
    HOLDFAST_CHECK(StartStep());
    while (!ended_) {
      std::array<pollfd, 6> fds{{{.fd = signals_.get(), .events = POLLIN},
                                 {.fd = listener_.get(), .events = POLLIN},
                                 {.fd = task_.get(), .events = POLLIN},
                                 {.fd = step_output_.get(), .events = POLLIN},
                                 {.fd = stepd_.get(), .events = POLLIN},
                                 {.fd = step_gone_ ? -1 : step_->pidfd().get(), .events = POLLIN}}};
      constexpr int kLossPatienceMs =
          static_cast<int>(std::chrono::milliseconds(kStepLossPatience).count());
      const int ready =
          ::poll(fds.data(), fds.size(), step_gone_ && !released_ ? kLossPatienceMs : -1);
      if (ready < 0 && errno != EINTR) return FailErrno("poll");
      if (ready == 0) return StepLost();
      if (fds[0].revents) HOLDFAST_CHECK(OnSignal());
      if (fds[1].revents) HOLDFAST_CHECK(OnConnection());
      if (fds[2].revents) {
        HOLDFAST_CHECK(OnFrame());
        continue;  // there may be another step now
      }
      if (fds[3].revents) OnStepOutput();
      if (fds[4].revents) OnStepdOutput();
      if (fds[5].revents && !ended_) HOLDFAST_CHECK(OnStepEnd());
    }
    return *ended_;
  }

  Status StartStep() {
    HOLDFAST_TRY(const std::string name, RandomName());
    HOLDFAST_TRY(listener_, ListenAbstract(name));
    std::error_code error;
    const std::string program = std::filesystem::read_symlink("/proc/self/exe", error);
    if (error) return std::unexpected(Error::FromErrno("finding this program", error.value()));
    // This process's own environment: SPANK's variables must reach the step.
    std::vector<std::string> environment;
    for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
    HOLDFAST_TRY(witness_, GroupWitness::Start(program));
    HOLDFAST_TRY(SpawnOptions srun, PodStepCommand(environment, program, name, pods_));
    // Signals to this process's group are the job's; srun would act upon them itself.
    srun.new_session = true;
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
    // Slurm takes a job away with SIGTERM; if it was released or its step is gone, there is nobody
    // left to pass it to.
    if (signal == kLeaveSignal || ((released_ || step_gone_) && signal == SIGTERM)) {
      Leave();
      return {};
    }
    // Where a process cannot be started, say, it is better to signal too few than to end the job.
    const bool to_group = witness_->Saw(signal).value_or(false);
    early_signals_.push_back({.type = FrameType::kSignal,
                              .signal = signal,
                              .scope = to_group ? SignalScope::kGroup : SignalScope::kScript});
    return SendSignals();
  }

  Status SendSignals() {
    if (!task_.valid()) return {};
    for (const Frame& signal : std::exchange(early_signals_, {})) {
      // If the task is gone, its end tells.
      [[maybe_unused]] const Status sent = SendFrame(task_, signal);
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
        if (frame->out_of_memory && stepd_.valid()) {
          // Without it the job has FAILED, which is true as well.
          std::ignore = ::send(stepd_.get(), &kOutOfMemory, sizeof kOutOfMemory, MSG_NOSIGNAL);
        }
        // Late or failed, it does not change how the script ended.
        [[maybe_unused]] const auto step = step_->Wait(kStepEndPatience);
        return {};
      }
      case FrameType::kFailed:
        return Fail(Code::kUnavailable, frame->message);
      case FrameType::kDelivered:
        stepd_wanted_ = true;
        ShowStepd();
        return {};
      case FrameType::kReleased:
        released_ = true;
        if (frame->leave) Leave();
        return {};
      case FrameType::kRegroup: {
        pods_ = frame->pods;
        task_.Reset();
        [[maybe_unused]] const auto step = step_->Wait(kStepEndPatience);
        return StartStep();
      }
      default:
        return Fail(Code::kInternal, "the pod step sent what only holdfast-batch sends");
    }
  }

  // The tasks of a job that was released have ended or are about to, and srun has to be there to
  // hear of it: each slurmstepd would otherwise try to tell it for three seconds, and the job's
  // nodes would not be free.
  void Leave() {
    if (released_ && !step_gone_) std::ignore = step_->Wait(kStepEndPatience);
    ended_ = ExitStatus{.signal = SIGTERM};
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
      Keep(step_messages_, {buffer, static_cast<size_t>(n)});
    }
  }

  // slurmstepd writes to the job's stderr that it is being cancelled, preempted, requeued. That
  // belongs there if the job gets Slurm's signals or ends; if it is saved, it never happened.
  void OnStepdOutput() {
    char buffer[4096];
    const ssize_t n = ::read(stepd_.get(), buffer, sizeof buffer);
    if (n <= 0) return stepd_.Reset();
    Keep(stepd_messages_, {buffer, static_cast<size_t>(n)});
    if (stepd_wanted_) ShowStepd();
  }

  void ShowStepd() { std::fputs(std::exchange(stepd_messages_, {}).c_str(), stderr); }

  static void Keep(std::string& messages, std::string_view more) {
    constexpr size_t kKeptBytes = 16384;
    messages.append(more);
    if (messages.size() > kKeptBytes) messages.erase(0, messages.size() - kKeptBytes);
  }

  Status OnStepEnd() {
    const auto pods = pods_;
    while (task_.valid() && !ended_ && !released_) HOLDFAST_CHECK(OnFrame());
    if (ended_ || pods_ != pods) return {};
    step_gone_ = true;  // if it was released, its tasks have ended, and Slurm is to end this
    if (terminated_ && !released_) ended_ = ExitStatus{.signal = SIGTERM};
    return {};
  }

  Result<ExitStatus> StepLost() {
    HOLDFAST_TRY(const ExitStatus status, step_->Wait());
    while (step_output_.valid()) OnStepOutput();
    std::fputs(step_messages_.c_str(), stderr);
    std::fprintf(stderr,
                 "holdfast: the step that holds the job's processes ended before the script (%s)\n",
                 status.ToString().c_str());
    return ExitStatus{.code = kProcessesLost};
  }

  Launch launch_;
  UniqueFd signals_, listener_, task_, step_output_, stepd_;
  std::optional<uint32_t> pods_;  // once it is known that they are not as many as the nodes
  std::optional<Process> step_;
  std::string step_messages_;
  std::string stepd_messages_;
  bool stepd_wanted_ = false;
  std::optional<GroupWitness> witness_;
  std::vector<Frame> early_signals_;  // before there is a task to send them to
  bool terminated_ = false;           // SIGTERM came
  bool released_ = false;
  bool step_gone_ = false;
  std::optional<ExitStatus> ended_;
};

}  // namespace

Result<SpawnOptions> PodStepCommand(const std::vector<std::string>& environment,
                                    const std::string& program, const std::string& socket_name,
                                    std::optional<uint32_t> pods) {
  const auto has = Find(environment, "SLURM_JOB_NUM_NODES");
  const auto allocated = ParseNumber<uint32_t>(has.value_or(""));
  if (!allocated || *allocated == 0)
    return Fail(Code::kInvalid, "SLURM_JOB_NUM_NODES is not set: this is no batch step");
  const uint32_t tasks = pods.value_or(*allocated);
  const uint32_t nodes = std::min(*allocated, tasks);
  SpawnOptions command;
  command.argv = {"srun",
                  "--overlap",
                  "--job-name=holdfast",
                  "--nodes=" + std::to_string(nodes),
                  "--ntasks=" + std::to_string(tasks),
                  "--ntasks-per-node=" + std::to_string((tasks + nodes - 1) / nodes),
                  "--distribution=block",
                  "--mem=0",
                  "--cpu-bind=none",
                  "--mpi=none",
                  "--input=none",
                  "--kill-on-bad-exit=1",
                  "--wait=0",
                  "--export=" + std::string(kPodStepVariable),
                  program,
                  "--task"};
  // A node's CPUs may be fewer than its pods.
  if (tasks > nodes) command.argv.insert(command.argv.begin() + 2, "--overcommit");
  command.env.emplace();
  std::ranges::copy_if(environment, std::back_inserter(*command.env), SrunNeeds);
  command.env->push_back(std::string(kPodStepVariable) + "=" + socket_name);
  return command;
}

Result<ExitStatus> Supervise(std::vector<std::string> script_argv) {
  UniqueFd stepd;
  if (const char* const number = ::getenv(kStepdFdVariable)) {
    const auto fd = ParseNumber<int>(number);
    if (!fd || ::fcntl(*fd, F_SETFD, FD_CLOEXEC) != 0)
      return Fail(Code::kInvalid, std::string(kStepdFdVariable) + " is not a descriptor");
    stepd = UniqueFd(*fd);
  }
  HOLDFAST_TRY(Launch launch, CaptureLaunch(std::move(script_argv)));
  return Supervisor(std::move(launch), std::move(stepd)).Run();
}

}  // namespace holdfast::pod
