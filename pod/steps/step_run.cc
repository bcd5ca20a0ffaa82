#include "pod/steps/step_run.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <map>

#include "pod/signal_fd.h"
#include "pod/steps/hostlist.h"
#include "pod/steps/label.h"
#include "pod/steps/mpi/gathering.h"
#include "pod/steps/say.h"

namespace holdfast::pod {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::seconds;

// Ctrl-C twice within it ends the step.
constexpr seconds kInterruptAgain{1};
// For a task that has called MPI_Abort to end. In Slurm, the way to slurmctld and back takes
// longer.
constexpr seconds kAbortPatience{2};
constexpr size_t kInputBytes = 64 * 1024;

class StepRun {
 public:
  StepRun(StepRunOptions setup, std::vector<FrameSocket> daemons)
      : setup_(std::move(setup)), options_(*setup_.options), gathering_(daemons.size()) {
    for (size_t i = 0; i < daemons.size(); ++i)
      nodes_.push_back({.socket = std::move(daemons[i]), .share = &setup_.grant.nodes[i]});
    for (const NodeShare& share : setup_.grant.nodes) tasks_ += share.tasks.size();
    label_width_ = LabelWidth(tasks_);
    input_open_ = setup_.reads_input;
  }

  Result<int> Run() {
    ::signal(SIGPIPE, SIG_IGN);  // whoever reads our output may stop
    HOLDFAST_TRY(signals_, OpenSignalFd(Signals({SIGINT, SIGQUIT, SIGCONT, SIGTERM, SIGHUP, SIGALRM,
                                                 SIGUSR1, SIGUSR2})));
    if (setup_.input_task) EndInputOfOthers();
    const auto now = Clock::now();
    if (options_.limit_seconds) {
      time_limit_ = now + seconds(*options_.limit_seconds);
      if (options_.signal != 0)
        early_signal_ = *time_limit_ - std::min(seconds(options_.signal_seconds),
                                                seconds(*options_.limit_seconds));
    }
    while (std::ranges::any_of(nodes_, [](const Node& node) { return !node.done; }))
      HOLDFAST_CHECK(Turn());
    if (killed_by_signal_ && !aborted_) Say("Force Terminated StepId=" + StepName());
    return abort_code_ != 0 ? abort_code_ : worst_;
  }

 private:
  struct Node {
    FrameSocket socket;
    const NodeShare* share = nullptr;
    bool has_input = false;  // that it has not acknowledged
    bool done = false;
    size_t ended = 0;
  };

  std::string StepName() const {
    return std::to_string(setup_.job) + "." + std::to_string(setup_.grant.step);
  }

  int MillisecondsLeft() const {
    std::optional<Clock::time_point> next;
    for (const auto& deadline : {time_limit_, early_signal_, wait_limit_, kill_at_, abort_at_})
      if (deadline && (!next || *deadline < *next)) next = deadline;
    if (!next) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now());
    return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 3'600'000));
  }

  Status Turn() {
    const bool wants_input = input_open_ && std::ranges::none_of(nodes_, [](const Node& node) {
                               return !node.done && (node.has_input || node.socket.has_unsent());
                             });
    const int input = setup_.input.valid() ? setup_.input.get() : STDIN_FILENO;
    std::vector<pollfd> fds{{signals_.get(), POLLIN, 0}, {wants_input ? input : -1, POLLIN, 0}};
    for (const Node& node : nodes_)
      fds.push_back({node.done ? -1 : node.socket.fd(), node.socket.events(), 0});
    if (::poll(fds.data(), fds.size(), MillisecondsLeft()) < 0 && errno != EINTR)
      return FailErrno("poll");
    if (fds[0].revents != 0) HOLDFAST_CHECK(TakeSignal());
    if (fds[1].revents != 0) SendInput(input);
    for (Node& node : nodes_)
      if (!node.done) Serve(node);
    CheckTimes();
    return {};
  }

  void EndInputOfOthers() {
    for (Node& node : nodes_)
      for (const uint32_t task : node.share->tasks)
        if (task != *setup_.input_task)
          node.socket.Queue(RshFrame::kStepInput, Serialize(task, std::string_view()));
  }

  void SendInput(int fd) {
    std::string data(kInputBytes, '\0');
    const ssize_t n = ::read(fd, data.data(), data.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    data.resize(static_cast<size_t>(std::max<ssize_t>(n, 0)));
    input_open_ = !data.empty();
    const uint32_t task = setup_.input_task.value_or(kAllTasks);
    for (Node& node : nodes_) {
      if (node.done) continue;
      node.has_input = input_open_;
      node.socket.Queue(RshFrame::kStepInput, Serialize(task, data));
    }
  }

  void Serve(Node& node) {
    node.socket.Pump();
    while (const auto message = node.socket.Next()) {
      switch (message->type) {
        case RshFrame::kTaskOutput:
          Write(setup_.output, message->data);
          break;
        case RshFrame::kTaskError:
          Write(setup_.error, message->data);
          break;
        case RshFrame::kTaskExits:
          TakeExits(node, message->data);
          break;
        case RshFrame::kInputTaken:
          node.has_input = false;
          break;
        case RshFrame::kContribute:
          TakeContribution(node, message->data);
          break;
        case RshFrame::kLetter:
          PassOn(node, message->data);
          break;
        case RshFrame::kStepAbort:
          AbortAsAsked(message->data);
          break;
        case RshFrame::kStepDone:
          node.done = true;
          node.socket = FrameSocket(UniqueFd());
          return;
        default:
          break;
      }
    }
    if (!node.socket.closed()) return;
    // What a lost node is to Slurm.
    node.done = true;
    Say("error: Node failure on " + node.share->host + ": the step's daemon there has ended");
    worst_ = std::max(worst_, 1);
    Abort();
  }

  uint32_t IndexOf(const Node& node) const { return static_cast<uint32_t>(&node - nodes_.data()); }

  void TakeContribution(const Node& node, const std::string& bytes) {
    auto contribution = ParseContribution(bytes);
    if (!contribution) return;
    const auto complete = gathering_.Add(IndexOf(node), std::move(*contribution));
    if (!complete) return;
    const std::string gathered = Serialize(complete->gathered);
    for (const uint32_t each : complete->nodes)
      if (!nodes_[each].done) nodes_[each].socket.Queue(RshFrame::kGathered, gathered);
  }

  void PassOn(const Node& node, const std::string& bytes) {
    auto letter = ParseLetter(bytes);
    if (!letter || letter->node >= nodes_.size() || nodes_[letter->node].done) return;
    Node& to = nodes_[letter->node];
    letter->node = IndexOf(node);
    to.socket.Queue(RshFrame::kLetter, Serialize(*letter));
  }

  // A task's MPI_Abort: the step is cancelled. Only PMIx says with which code.
  void AbortAsAsked(const std::string& bytes) {
    const auto wish = ParseAbortWish(bytes);
    if (!wish || aborted_ || abort_at_) return;
    abort_code_ = static_cast<int>(wish->code);
    aborting_task_ = wish->ending_task;
    abort_at_ = Clock::now() + (aborting_task_ ? kAbortPatience : seconds(0));
  }

  void Write(const Sink& sink, const std::string& bytes) {
    const auto data = ParseTaskData(bytes);
    if (!data || sink.fd() < 0) return;
    if (sink.only_task && *sink.only_task != data->first) return;
    std::string text = std::move(data->second);
    if (options_.label) text = Labelled(text, data->first, label_width_);
    for (std::string_view rest = text; !rest.empty();) {
      const ssize_t n = ::write(sink.fd(), rest.data(), rest.size());
      if (n < 0 && errno == EAGAIN) {
        pollfd polled{.fd = sink.fd(), .events = POLLOUT, .revents = 0};
        ::poll(&polled, 1, -1);
      } else if (n < 0 && errno != EINTR) {
        return;  // nobody reads it
      }
      if (n > 0) rest.remove_prefix(static_cast<size_t>(n));
    }
  }

  void TakeExits(Node& node, const std::string& bytes) {
    const auto exits = ParseTaskExits(bytes);
    if (!exits) return;
    std::map<std::pair<int, int>, std::vector<uint32_t>> alike;
    for (const TaskExit& exit : *exits) {
      alike[{exit.status.signal, exit.status.code}].push_back(exit.task);
      ended_.push_back(exit.task);
      if (abort_at_ && exit.task == aborting_task_) abort_at_ = Clock::now();
      ++node.ended;
    }
    bool bad = false;
    for (const auto& [how, tasks] : alike) {
      const auto& [signal, code] = how;
      worst_ = std::max(worst_, signal != 0 ? 128 + signal : code);
      bad = bad || signal != 0 || code != 0;
      const std::string who = node.share->host + (tasks.size() == 1 ? ": task " : ": tasks ") +
                              CompressNumbers(tasks) + ": ";
      if (signal == SIGTERM || signal == SIGKILL) killed_by_signal_ = true;
      if (signal != 0)
        Say("error: " + who + ::strsignal(signal));
      else if (code != 0)
        Say("error: " + who + "Exited with exit code " + std::to_string(code));
      else if (options_.verbosity > 0)
        Say(who + "Completed");
    }
    if (ended_.size() == tasks_) {
      wait_limit_.reset();
      return;
    }
    if (bad && options_.kill_on_bad_exit.value_or(false)) return Terminate();
    if (options_.wait_seconds.value_or(0) > 0 && !wait_limit_ && !aborted_)
      wait_limit_ = Clock::now() + seconds(*options_.wait_seconds);
  }

  void CheckTimes() {
    const auto now = Clock::now();
    const auto passed = [&](std::optional<Clock::time_point>& deadline) {
      if (!deadline || now < *deadline) return false;
      deadline.reset();
      return true;
    };
    if (passed(early_signal_)) SendSignal(options_.signal);
    if (passed(wait_limit_)) {
      Say("First task exited " + std::to_string(*options_.wait_seconds) + "s ago");
      SayStatus();
      Say("Terminating StepId=" + StepName());
      SayCancelled("");
      Abort();
    }
    if (passed(time_limit_)) {
      SayCancelled(" DUE TO TIME LIMIT");
      Say("Job step aborted: Waiting up to " + std::to_string(setup_.kill_wait_seconds + 2) +
          " seconds for job step to finish.");
      aborted_ = true;
      SendSignal(SIGCONT);
      SendSignal(SIGTERM);
      kill_at_ = now + seconds(setup_.kill_wait_seconds);
    }
    if (passed(kill_at_)) SendSignal(SIGKILL);
    if (passed(abort_at_) && !aborted_) {
      SayCancelled("");
      Abort();
    }
  }

  // As `scancel` of a step does: SIGTERM, and KillWait later SIGKILL.
  void Terminate() {
    if (aborted_ || terminating_) return;
    terminating_ = true;
    Say("Terminating StepId=" + StepName());
    SayCancelled("");
    SendSignal(SIGCONT);
    SendSignal(SIGTERM);
    kill_at_ = Clock::now() + seconds(setup_.kill_wait_seconds);
  }

  void Abort() {
    if (aborted_) return;
    aborted_ = true;
    Say("Job step aborted: Waiting up to " + std::to_string(setup_.kill_wait_seconds + 2) +
        " seconds for job step to finish.");
    SendSignal(SIGKILL);
  }

  void ForceTermination() {
    if (aborted_) return;
    Say("forcing job termination");
    Abort();
    SayCancelled("");
  }

  void SayCancelled(const std::string& why) const {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    char when[32] = "";
    ::localtime_r(&now, &local);
    std::strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &local);
    const std::string& host = setup_.grant.nodes[0].host;
    const std::string line = "slurmstepd-" + host + ": error: *** STEP " + StepName() + " ON " +
                             host + " CANCELLED AT " + when + why + " ***\n";
    [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, line.data(), line.size());
  }

  void SayStatus() const {
    std::vector<uint32_t> running, ended = ended_;
    std::ranges::sort(ended);
    for (const Node& node : nodes_)
      for (const uint32_t task : node.share->tasks)
        if (!std::ranges::binary_search(ended, task)) running.push_back(task);
    std::ranges::sort(running);
    for (const auto& [tasks, how] : {std::pair(running, "running"), std::pair(ended, "exited")})
      if (!tasks.empty())
        Say("StepId=" + StepName() + (tasks.size() == 1 ? " task " : " tasks ") +
            CompressNumbers(tasks) + ": " + how);
  }

  Status TakeSignal() {
    HOLDFAST_TRY(const signalfd_siginfo info, ReadSignal(signals_));
    const int signal = static_cast<int>(info.ssi_signo);
    switch (signal) {
      case SIGINT:
        Interrupt();
        break;
      case SIGQUIT:
        Say("Quit");
        ForceTermination();
        break;
      case SIGTERM:
      case SIGHUP:
        ForceTermination();
        break;
      case SIGCONT:
        Say("got SIGCONT");
        break;
      case SIGALRM:
        break;
      default:
        SendSignal(signal);
    }
    return {};
  }

  void Interrupt() {
    const auto now = Clock::now();
    const bool again = interrupted_ && now - *interrupted_ <= kInterruptAgain;
    if (!again && !options_.disable_status && !options_.quit_on_interrupt) {
      interrupted_ = now;
      Say("interrupt (one more within 1 sec to abort)");
      return SayStatus();
    }
    Say("sending Ctrl-C to StepId=" + StepName());
    SendSignal(SIGINT);
    if (again) ForceTermination();
    interrupted_ = now;
  }

  void SendSignal(int signal) {
    for (Node& node : nodes_) {
      if (node.done) continue;
      // Not pumped here: what that received would wait for the next thing to come.
      node.socket.Queue(RshFrame::kStepSignal, std::to_string(signal));
    }
  }

  StepRunOptions setup_;
  const Options& options_;
  std::vector<Node> nodes_;
  Gathering gathering_;
  size_t tasks_ = 0, label_width_ = 1;
  UniqueFd signals_;
  bool input_open_ = true;
  std::vector<uint32_t> ended_;
  int worst_ = 0, abort_code_ = 0;
  bool aborted_ = false, terminating_ = false, killed_by_signal_ = false;
  std::optional<Clock::time_point> interrupted_, time_limit_, early_signal_, wait_limit_, kill_at_,
      abort_at_;
  std::optional<uint32_t> aborting_task_;
};

}  // namespace

Result<int> RunStep(StepRunOptions options, std::vector<FrameSocket> daemons) {
  return StepRun(std::move(options), std::move(daemons)).Run();
}

}  // namespace holdfast::pod
