#include "pod/pod_root.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/files.h"
#include "pod/frame_socket.h"
#include "pod/job_socket.h"
#include "pod/launch.h"
#include "pod/mpi_environment.h"
#include "pod/program.h"
#include "pod/signal_fd.h"

namespace holdfast::pod {
namespace {

constexpr std::chrono::seconds kPeerPatience{60};
// The descriptor that a session finds its connection at.
constexpr int kSessionFd = 3;

}  // namespace

Result<ExitStatus> PodRoot::Run() {
  if (pod_ >= peers_.size())
    return Fail(Code::kInvalid, "this pod is not in the list of the job's pods");
  // What daemons leave behind becomes ours, so that it stays in the tree that is saved.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return FailErrno("prctl");
  HOLDFAST_TRY(signals_, OpenSignalFd(Signals({SIGCHLD, kRelaySignal})));
  HOLDFAST_CHECK(Listen());
  HOLDFAST_CHECK(pod_ == 0 ? StartScript() : WatchFirstPod());
  while (!ended_) HOLDFAST_CHECK(Turn());
  return *ended_;
}

Status PodRoot::Listen() {
  HOLDFAST_TRY(listener_, ListenAt(peers_[pod_]));
  return {};
}

Status PodRoot::StartScript() {
  HOLDFAST_TRY(const std::string bytes, ReadFile(kLaunchPath));
  HOLDFAST_TRY(Launch launch, ParseLaunch(bytes));
  HOLDFAST_TRY(const auto slots, SlotsOf(launch.environment, peers_.size()));
  HOLDFAST_CHECK(WriteFile(kHostsPath, OpenMpiHosts(peers_, slots), 0600));
  HOLDFAST_CHECK(WriteFile(kMpichHostsPath, MpichHosts(peers_, slots), 0600));
  HOLDFAST_CHECK(WriteFile(kScriptPath, launch.script, 0700));
  if (launch.argv.empty()) return Fail(Code::kCorrupt, "the launch names no script");
  launch.argv[0] = kScriptPath;
  std::vector<std::string> hosts;
  for (const Peer& peer : peers_) hosts.push_back(peer.hostname);
  desk_.emplace(ResourcesOf(launch.environment, hosts));
  launch.environment = AddEnvironment(std::move(launch.environment));
  HOLDFAST_TRY(Process script, StartProgram(launch));
  script_ = script.Release();
  return {};
}

Status PodRoot::WatchFirstPod() {
  HOLDFAST_TRY(UniqueFd connection, ConnectTo(peers_[0], kPeerPatience));
  HOLDFAST_TRY(first_, connection.Duplicate());
  FrameSocket greeting(std::move(connection));
  greeting.Queue(RshFrame::kWatch);
  greeting.Pump();
  return {};
}

Status PodRoot::Turn() {
  std::vector<pollfd> fds{
      {signals_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}, {first_.get(), POLLIN, 0}};
  for (const UniqueFd& caller : callers_) fds.push_back({caller.get(), POLLIN, 0});
  for (const UniqueFd& watcher : watchers_) fds.push_back({watcher.get(), POLLIN, 0});
  if (desk_) desk_->AddTo(fds);
  if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return FailErrno("poll");

  if (fds[0].revents != 0) HOLDFAST_CHECK(TakeSignal());
  Reap();
  // Nothing is ever sent this way: readable means that pod 0's root is gone, and so is the job.
  if (fds[2].revents != 0) ended_ = ExitStatus{};
  const auto readable = [&](const UniqueFd& fd) {
    return std::ranges::any_of(
        fds, [&](const pollfd& polled) { return polled.fd == fd.get() && polled.revents != 0; });
  };
  std::erase_if(watchers_, readable);
  std::erase_if(callers_, [&](UniqueFd& caller) { return readable(caller) && Greet(caller); });
  if (desk_) desk_->Serve();
  if (fds[1].revents != 0) Accept();
  return {};
}

Status PodRoot::TakeSignal() {
  HOLDFAST_TRY(const signalfd_siginfo info, ReadSignal(signals_));
  if (static_cast<int>(info.ssi_signo) != kRelaySignal) return {};
  sigval value;
  value.sival_int = info.ssi_int;
  if (const auto relayed = DecodeRelayedSignal(value)) Relay(*relayed);
  return {};
}

void PodRoot::Relay(const RelayedSignal& relayed) const {
  if (relayed.scope == SignalScope::kSteps) {
    for (const pid_t session : sessions_) ::kill(session, relayed.signal);
  } else if (script_ > 0) {
    ::kill(relayed.scope == SignalScope::kGroup ? -script_ : script_, relayed.signal);
  }
}

void PodRoot::Reap() {
  int status = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid == script_) ended_ = ExitStatus::FromWait(status);
    std::erase(sessions_, pid);
  }
}

void PodRoot::Accept() {
  UniqueFd caller(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (caller.valid()) callers_.push_back(std::move(caller));
}

bool PodRoot::Greet(UniqueFd& caller) {
  // Only looked at: the session reads its own first frame.
  char header[FrameSocket::kHeaderBytes];
  const ssize_t n = ::recv(caller.get(), header, sizeof header, MSG_PEEK | MSG_DONTWAIT);
  if (n > 0 && static_cast<size_t>(n) < sizeof header) return false;
  if (n <= 0) return true;
  const auto wanted = static_cast<RshFrame>(header[FrameSocket::kHeaderBytes - 1]);
  if (wanted == RshFrame::kRun) {
    StartSession(caller, "--session");
  } else if (wanted == RshFrame::kRunStep) {
    StartSession(caller, "--step");
  } else if (wanted == RshFrame::kAskStep && desk_) {
    desk_->Take(std::move(caller));
  } else if (wanted == RshFrame::kWatch) {
    // Consumed, so that the next thing to be read is the end.
    [[maybe_unused]] const ssize_t consumed = ::recv(caller.get(), header, sizeof header, 0);
    watchers_.push_back(std::move(caller));
  }
  return true;
}

void PodRoot::StartSession(const UniqueFd& caller, const char* mode) {
  auto session = Process::Spawn({.argv = {kPodRootPath, mode, std::to_string(kSessionFd)},
                                 .fds = {{caller.get(), kSessionFd}},
                                 .kill_with_parent = false});
  if (!session) {
    // The caller sees its connection end, and says so.
    std::fprintf(stderr, "pod-root: %s\n", session.error().message().c_str());
    return;
  }
  sessions_.push_back(session->Release());
}

}  // namespace holdfast::pod
