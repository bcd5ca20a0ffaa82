#include "warden/criu/criu.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <sstream>

#include "base/files.h"
#include "warden/criu/images.h"
#include "warden/isolation/oom_score.h"

namespace holdfast::warden {
namespace {

using std::chrono::milliseconds;

// Numbers of descriptors in CRIU.
constexpr int kRpcFd = 3;
constexpr int kImagesFd = 4;
constexpr int kPagesFd = 5;
constexpr const char* kImagesDirectory = "/proc/self/fd/4";
constexpr const char* kCacheName = "criu.kdat";

constexpr milliseconds kShortRun{20000};
// For what CRIU still has to do after it was held. How long it is held is not limited here.
constexpr milliseconds kFinishTimeout{60000};
// How soon it is noticed that the run is to end.
constexpr milliseconds kAttention{100};
// A node that is busy does not make a short wait so long.
constexpr milliseconds kStoodStill{5000};
constexpr size_t kMaxErrorLines = 3;

// What CRIU may do beyond its user. None lets it reach a file by a path that its user could not, or
// change whose a file is: no CAP_DAC_*, CAP_FOWNER, CAP_CHOWN, CAP_MKNOD, CAP_SETUID.
constexpr int kCapabilities[] = {
    CAP_CHECKPOINT_RESTORE,  // choosing pids; map_files; PR_SET_MM; *_next_id
    CAP_SYS_ADMIN,           // an IPC namespace for the tree; suspending seccomp filters
    CAP_SYS_PTRACE,          // seizing tasks that set-id programs or filters have made special
    CAP_NET_ADMIN,           // TCP repair mode, socket options beyond the usual limits
    CAP_NET_RAW,             // SO_BINDTODEVICE and the like
    CAP_SETGID,              // groups in the order in which a task had them
    CAP_SETPCAP,             // securebits, bounding sets
    CAP_SYS_CHROOT,          // setns(2)
    CAP_SYS_NICE,            // priorities and schedulers
    CAP_IPC_OWNER,           // SysV objects that nobody may read
    CAP_IPC_LOCK,            // locked memory
    CAP_KILL,                // signals to tasks of set-id programs
    CAP_AUDIT_CONTROL,       // login ids
};

// Printed when CRIU cannot raise a limit it rarely needs: never the cause.
constexpr std::string_view kHarmless[] = {"Can't setup RLIMIT_NOFILE for self"};

bool IsHarmless(std::string_view line) {
  for (const std::string_view harmless : kHarmless)
    if (line.find(harmless) != std::string_view::npos) return true;
  return false;
}

milliseconds Left(Criu::Clock::time_point deadline) {
  return std::chrono::ceil<milliseconds>(
      std::max(deadline - Criu::Clock::now(), Criu::Clock::duration::zero()));
}

// What kind of failure CRIU's words stand for.
Code CodeOf(const std::string& lines) {
  if (lines.find("No space left on device") != std::string::npos) return Code::kNoSpace;
  if (lines.find("has bad size") != std::string::npos) return Code::kChanged;
  return Code::kUnsupported;
}

}  // namespace

std::string CriuVersion::ToString() const {
  std::string text = std::to_string(major) + "." + std::to_string(minor);
  if (patch != 0) text += "." + std::to_string(patch);
  return text;
}

Result<CriuVersion> FindCriu(const std::string& program) {
  SpawnOptions options;
  options.argv = {program, "--version"};
  options.env = CriuEnvironment();
  const auto output = RunCommand(options, kShortRun);
  if (!output) {
    Error error = output.error();
    return std::unexpected(std::move(error).Wrap("looking for CRIU (" + program + ")"));
  }
  CriuVersion version;
  const size_t at = output->output.find("Version: ");
  if (at == std::string::npos || std::sscanf(output->output.c_str() + at, "Version: %d.%d.%d",
                                             &version.major, &version.minor, &version.patch) < 2)
    return Fail(Code::kUnsupported, program + " --version: " + output->status.ToString() +
                                        ", and what it prints has no version");
  if (version < kOldestCriu)
    return Fail(Code::kUnsupported,
                "CRIU " + version.ToString() + " (" + program +
                    ") is too old: older than 4.2 it cannot save sockets on Linux 6.16 and later; "
                    "install CRIU >= " +
                    kOldestCriu.ToString());
  return version;
}

std::vector<std::string> CriuEnvironment() {
  // Where CRIU looks for its cache unless it is root.
  return {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
          "XDG_RUNTIME_DIR=" + std::string(kImagesDirectory)};
}

void RunAsOwner(SpawnOptions& options, const Identity& owner) {
  options.identity = owner;
  options.capabilities.assign(std::begin(kCapabilities), std::end(kCapabilities));
}

Status ProvideFeatureCache(const Pod& pod, const std::string& program, const UniqueFd& images) {
  SpawnOptions options;
  // Any feature: to tell of one, CRIU reads its cache, and makes it anew if it is another CRIU's.
  options.argv = {program, "--no-default-config", "check", "--feature", "uffd"};
  options.env = CriuEnvironment();
  pod.Enter(options);
  HOLDFAST_TRY(const CommandOutput output, RunCommand(options, kShortRun));
  const auto cache = ReadFile(pod.root_path() + "/run/" + kCacheName);
  if (!cache)
    return Fail(Code::kUnsupported,
                "CRIU keeps no cache of what this kernel can do, for which /run must be a tmpfs: " +
                    cache.error().message() + "\n" + output.output);
  // For one that is there from before.
  if (::unlinkat(images.get(), kCacheName, 0) != 0 && errno != ENOENT)
    return FailErrno("removing an old cache of CRIU's");
  HOLDFAST_TRY(const UniqueFd copy, CreateImage(images, kCacheName, pod.options().owner));
  return WriteFull(copy, AsBytes(*cache));
}

rpc::criu_opts CommonOptions() {
  rpc::criu_opts options;
  options.set_images_dir_fd(-1);
  options.set_images_dir(kImagesDirectory);
  options.set_unprivileged(true);
  options.set_log_to_stderr(true);
  options.set_log_level(2);
  options.set_notify_scripts(true);
  options.set_tcp_established(true);
  options.set_network_lock(rpc::SKIP);  // the pod's network is cut by Holdfast
  options.set_manage_cgroups_mode(rpc::IGNORE);
  options.set_file_locks(true);
  options.set_shell_job(true);
  options.set_ghost_limit(1U << 30);
  return options;
}

Result<Criu> Criu::Start(const Pod& pod, const CriuRun& run, rpc::criu_req request,
                         Clock::time_point deadline) {
  HOLDFAST_CHECK(ProvideFeatureCache(pod, run.program, *run.images));
  HOLDFAST_TRY(auto sockets, MakeSocketPair(SOCK_SEQPACKET));
  HOLDFAST_TRY(const UniqueFd log, OpenFile(run.log_path, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  HOLDFAST_TRY(const UniqueFd null, OpenFile("/dev/null", O_RDWR));
  SpawnOptions options;
  options.argv = {run.program, "--no-default-config"};
  options.env = CriuEnvironment();
  options.fds = {{null.get(), 0},
                 {log.get(), 1},
                 {log.get(), 2},
                 {sockets.second.get(), kRpcFd},
                 {run.images->get(), kImagesFd}};
  if (!run.preload.empty()) options.env->push_back("LD_PRELOAD=" + run.preload);
  options.env->insert(options.env->end(), run.preload_environment.begin(),
                      run.preload_environment.end());
  options.fds.insert(options.fds.end(), run.preload_fds.begin(), run.preload_fds.end());
  if (run.page_socket) {
    // The protocol has no field for this in a lazy dump; the command line has.
    options.argv.insert(options.argv.end(), {"--ps-socket", std::to_string(kPagesFd)});
    options.fds.emplace_back(run.page_socket->get(), kPagesFd);
  }
  options.argv.insert(options.argv.end(), {"swrk", std::to_string(kRpcFd)});
  options.new_session = true;  // no signal meant for the warden's group
  // The pod, and CRIU in it, dies with the warden anyway; a thread that starts a save may end.
  options.kill_with_parent = false;
  RunAsOwner(options, pod.options().owner);
  // What it restores begins with its own score.
  options.oom_score_adj = request.type() == rpc::DUMP ? kKilledFirst : pod.options().oom_score_adj;
  pod.Enter(options);
  HOLDFAST_TRY(Process process, Process::Spawn(options));
  sockets.second.Reset();
  HOLDFAST_TRY(UniqueFd pidfd, process.pidfd().Duplicate());
  Criu criu(std::move(process), std::move(pidfd), std::move(sockets.first), run, deadline);
  if (Status sent = criu.Send(request); !sent) return std::unexpected(criu.End(sent.error()));
  return criu;
}

Criu::Criu(Process process, UniqueFd pidfd, UniqueFd socket, const CriuRun& run,
           Clock::time_point deadline)
    : pidfd_(std::move(pidfd)),
      pid_(process.pid()),
      ended_(std::async(std::launch::async,
                        [child = std::move(process)]() mutable { return child.Wait(); })),
      socket_(std::move(socket)),
      log_path_(run.log_path),
      may_go_on_(run.may_go_on),
      deadline_(deadline) {}

Criu::~Criu() {
  if (ended_.valid()) Kill();
}

void Criu::Kill() const {
  // Fails only if it has ended already.
  ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
}

Status Criu::Send(const rpc::criu_req& request) {
  const std::string bytes = request.SerializeAsString();
  if (::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(bytes.size()))
    return FailErrno("talking to CRIU");
  return {};
}

Status Criu::AwaitWord() {
  pollfd polled{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  while (true) {
    const auto asked = Clock::now();
    const int ready =
        ::poll(&polled, 1, static_cast<int>(std::min(Left(deadline_), kAttention).count()));
    if (ready < 0 && errno != EINTR) return FailErrno("waiting for CRIU");
    if (ready > 0) return {};
    if (!held_ && may_go_on_) HOLDFAST_CHECK(may_go_on_());
    // Time in which Slurm had suspended the job, and all this with it, was nobody's.
    if (const auto took = Clock::now() - asked; took > kStoodStill) deadline_ += took;
    if (Clock::now() >= deadline_)
      return Fail(Code::kTimeout, "CRIU did not finish in time and was stopped");
  }
}

Result<rpc::criu_resp> Criu::Receive() {
  HOLDFAST_CHECK(AwaitWord());
  char buffer[4096];
  const ssize_t size = ::recv(socket_.get(), buffer, sizeof buffer, 0);
  if (size < 0) return FailErrno("listening to CRIU");
  if (size == 0) return Fail(Code::kUnsupported, "CRIU ended early");
  rpc::criu_resp response;
  if (!response.ParseFromArray(buffer, static_cast<int>(size)))
    return Fail(Code::kInternal, "CRIU's answer cannot be parsed");
  return response;
}

Status Criu::AnswerPending() {
  if (!pending_) return {};
  pending_ = false;
  rpc::criu_req answer;
  answer.set_type(rpc::NOTIFY);
  answer.set_notify_success(true);
  return Send(answer);
}

Status Criu::WaitForStage(std::string_view stage) {
  while (true) {
    if (Status answered = AnswerPending(); !answered) return std::unexpected(End(answered.error()));
    const auto response = Receive();
    if (!response) return std::unexpected(End(response.error()));
    if (response->type() != rpc::NOTIFY)
      return std::unexpected(End(Error(Code::kUnsupported, "CRIU failed")));
    pending_ = true;
    if (response->notify().script() == stage) return {};
  }
}

Status Criu::CheckPreload(const CriuRun& run) const {
  HOLDFAST_TRY(const std::string maps, ReadFile("/proc/" + std::to_string(pid_) + "/maps"));
  // Its name: there may be symbolic links on the way.
  if (maps.find(run.preload.substr(run.preload.rfind('/'))) != std::string::npos) return {};
  return Fail(
      Code::kUnsupported,
      run.program + " has not loaded " + run.preload +
          ", without which processes would see that they were saved: that file must be "
          "there, and CRIU must be a dynamic program without capabilities or set-id bits of its "
          "own\n  log:  " +
          run.log_path);
}

void Criu::GrantTime() {
  held_ = true;
  deadline_ = std::max(deadline_, Clock::now() + kFinishTimeout);
}

Status Criu::Finish() {
  GrantTime();
  while (true) {
    if (Status answered = AnswerPending(); !answered) return std::unexpected(End(answered.error()));
    const auto response = Receive();
    if (!response) return std::unexpected(End(response.error()));
    if (response->type() == rpc::NOTIFY) {
      pending_ = true;
      continue;
    }
    if (!response->success()) return std::unexpected(End(Error(Code::kUnsupported, "CRIU failed")));
    if (ended_.wait_for(Left(deadline_)) != std::future_status::ready)
      return std::unexpected(
          End(Error(Code::kTimeout, "CRIU did not end in time and was stopped")));
    return {};
  }
}

bool Criu::Alive() const {
  pollfd polled{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  return ::poll(&polled, 1, 0) == 0;
}

Error Criu::End(Error error) {
  socket_.Reset();
  // If it is about to end by itself, its last words are worth waiting for.
  if (error.code() == Code::kUnsupported &&
      ended_.wait_for(milliseconds(2000)) == std::future_status::ready) {
    const Result<ExitStatus> status = ended_.get();
    if (status && status->signal == SIGKILL)
      return {Code::kNoSpace,
              "CRIU was killed, for want of memory it seems, and the processes go on; ask for more "
              "with --mem\n  log:  " +
                  log_path_};
    ended_ = std::async(std::launch::deferred, [status] { return status; });
  }
  Kill();
  ended_.wait();
  const std::string lines = ErrorLines(log_path_);
  const Code code = error.code() == Code::kUnsupported ? CodeOf(lines) : error.code();
  return Error(code, error.message() + lines + "\n  log:  " + log_path_, error.errno_value());
}

std::string Criu::ErrorLines(const std::string& log_path) {
  const auto log = ReadFile(log_path);
  if (!log) return "";
  std::string found;
  std::istringstream lines(*log);
  size_t count = 0;
  for (std::string line; count < kMaxErrorLines && std::getline(lines, line);) {
    const size_t at = line.find("Error (");
    if (at == std::string::npos || IsHarmless(line)) continue;
    found += "\n  criu: " + line.substr(at);
    ++count;
  }
  return found;
}

}  // namespace holdfast::warden
