// Phases, all as root; what touches a path of the user's does so with the user's identity:
//   1. ReadEnvironment  who, which job, which node
//   2. WaitForExec      the task beside us is the user's program, and where Slurm wants it
//   3. Join             its cgroups and CPUs: from here on Slurm accounts for everything we do
//   4. Configure        the site's settings, the log, the keys, the node's address
//   5. OpenStore        as the user
//   6. ReceiveLaunch    pod 0: what Slurm gave the batch script
//   7. Lifecycle        the coordinator decides from here on: the pod is made, saved, restored and
//                       ended
#include "warden/loop/warden.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <thread>

#include "base/files.h"
#include "base/log.h"
#include "pod/launch.h"
#include "pod/task_link.h"
#include "storage/site.h"
#include "warden/files/capture.h"
#include "warden/isolation/affinity.h"
#include "warden/isolation/cgroup.h"
#include "warden/isolation/limits.h"
#include "warden/isolation/oom_score.h"
#include "warden/isolation/private_directories.h"
#include "warden/loop/channel.h"
#include "warden/loop/cloud.h"
#include "warden/loop/lifecycle.h"
#include "warden/loop/operations.h"
#include "warden/loop/spot.h"
#include "warden/loop/summaries.h"
#include "warden/loop/worker.h"

namespace holdfast::warden {
namespace {

constexpr std::chrono::seconds kStorePause{5};
// The job's start waits for it.
constexpr std::chrono::seconds kLeftoversLimit{10};
// How often the loop looks at what only time brings.
constexpr std::chrono::milliseconds kTick{200};

// Slurm signals whole steps; what is meant for the job comes over the task's link.
void IgnoreSignals() {
  for (int signal = 1; signal < NSIG; ++signal)
    if (signal != SIGCHLD && signal != SIGSEGV && signal != SIGBUS && signal != SIGFPE &&
        signal != SIGILL && signal != SIGABRT)
      ::signal(signal, SIG_IGN);
}

Result<UniqueFd> TakeDescriptor(int number) {
  if (::fcntl(number, F_SETFD, FD_CLOEXEC) != 0)
    return FailErrno(fmt::format("descriptor {}", number));
  return UniqueFd(number);
}

Status WaitForExec(int exec_fd) {
  HOLDFAST_TRY(const UniqueFd pipe, TakeDescriptor(exec_fd));
  return ReadAll(pipe).transform([](const std::string&) {});
}

// What the user asked for, and where they did not what the site says.
Result<JobOptions> Complete(JobOptions options, const config::Config& config, uid_t uid) {
  const auto& site = config.checkpoint;
  const std::string& directory = options.directory.empty() ? site.directory : options.directory;
  HOLDFAST_TRY(options.directory, config::ExpandDirectory(directory, uid));
  options.interval = options.interval.value_or(site.interval);
  options.keep = options.keep.value_or(site.keep);
  options.rollback = options.rollback.value_or(RollbackPolicy::kAuto);
  if (!options.fallback) options.fallback = ParseFallback(site.fallback);
  return options;
}

// Memory and files of other jobs, whose wardens were killed. If they cannot be removed, this job
// may run.
void RemoveLeftovers(const Job& job) {
  const auto until = std::chrono::steady_clock::now() + kLeftoversLimit;
  Status removed = RemoveAbandoned(job.WorkDirectories(), until);
  if (removed) removed = PrivateDirectories::RemoveAbandoned(job.config.node.private_place, until);
  if (!removed) log::Failure("remove-abandoned", removed.error());
}

// A node's full disk is no reason not to run: what a job's user must know does not go into logs.
void OpenLog(const Job& job) {
  Status opened = MakeDirectories(job.log_directory, 0700);
  if (opened)
    opened = log::Open("warden", fmt::format("{}/warden{}.log", job.log_directory, job.pod()));
  if (!opened) log::Failure("log", opened.error());
}

Status Configure(Job& job) {
  const pod::WardenEnvironment& environment = job.environment;
  HOLDFAST_TRY(job.config, config::Load(environment.config_path));
  const config::Config& config = job.config;
  job.log_directory = fmt::format("{}/{}", config.node.log_directory, job.id());
  OpenLog(job);
  log::Info("start", {{"version", HOLDFAST_VERSION},
                      {"job", job.id()},
                      {"start", environment.restart_count},
                      {"pod", job.pod()},
                      {"pods", environment.pods},
                      {"slot", environment.slot},
                      {"node", environment.node}});

  RemoveLeftovers(job);

  HOLDFAST_CHECK(storage::CheckCluster(environment.cluster));
  HOLDFAST_TRY(job.keys, storage::LoadKeys(config));
  HOLDFAST_TRY(job.options, Complete(environment.options, config, job.owner().uid));
  HOLDFAST_TRY(job.underlay, FindUnderlay(config.coordinator.host, config.coordinator.warden_port));
  job.notice_time = notices::NoticeTime(NoticeSettings(config));
  return {};
}

struct Store {
  std::unique_ptr<storage::JobStore> jobs;
  Inventory found;
};

// Pod 0 proves that the job can be saved before it runs, and knows what has been saved.
Result<Store> TryStore(const Job& job) {
  Store store;
  HOLDFAST_TRY(store.jobs, storage::JobStore::Open(job.options.directory, job.name(), job.owner(),
                                                   job.keys, storage::CloudSettings(job.config)));
  if (job.pod() != 0) return store;
  HOLDFAST_CHECK(store.jobs->Prepare());
  HOLDFAST_TRY(const auto listing, store.jobs->List());
  for (const auto& [number, error] : listing.bad) {
    log::Failure("bad-checkpoint", error, {{"checkpoint", number}});
    v1::Damaged& damaged = store.found.damaged.emplace_back();
    damaged.set_number(number);
    damaged.set_message(error.message());
  }
  for (const storage::Manifest& manifest : listing.good)
    store.found.saved.push_back(ToSaved(manifest));
  return store;
}

Result<Store> OpenStore(const Job& job) {
  while (true) {
    auto store = TryStore(job);
    if (store) return store;
    log::Failure("store", store.error());
    // On its first start the job has nothing to lose: better no run than one that cannot be saved.
    // Later a file server may just be away, and the checkpoints in it are what the job goes on
    // from.
    const bool may_return =
        store.error().code() == Code::kUnavailable || store.error().code() == Code::kTimeout;
    if (job.environment.restart_count == 0 && !may_return)
      return std::unexpected(std::move(store).error().Wrap("--checkpoint-dir"));
    std::this_thread::sleep_for(kStorePause);
  }
}

// Slurm opened them on the node, where the job does not see them. (So too pod/capture.cc, of
// directories that are always the job's own.)
Status CheckStdio(const pod::Launch& launch, const std::vector<std::string>& own) {
  for (const pod::Stdio* stdio : {&launch.input, &launch.output, &launch.error})
    for (const std::string& directory : own)
      if (stdio->path.starts_with(directory + "/"))
        return Fail(
            Code::kInvalid,
            fmt::format("the job reads or writes {}, in a directory that a checkpointed job "
                        "has to itself (node.private_directories): name a file on a shared "
                        "filesystem with --input, --output or --error",
                        stdio->path));
  return {};
}

Status ReceiveLaunch(const UniqueFd& link, Job& job) {
  if (job.pod() != 0) return {};
  while (job.launch.empty()) {
    HOLDFAST_TRY(pod::Frame frame, pod::ReceiveFrame(link));
    if (frame.type == pod::FrameType::kLaunch) job.launch = std::move(frame.launch);
  }
  HOLDFAST_TRY(const pod::Launch launch, pod::ParseLaunch(job.launch));
  job.output_paths = {launch.output.path, launch.error.path};
  return CheckStdio(launch, config::ListOf(job.config.node.private_directories));
}

class SocketLink final : public TaskLink {
 public:
  explicit SocketLink(const UniqueFd& socket) : socket_(socket) {}
  Result<pod::Frame> Receive() override { return pod::ReceiveFrame(socket_); }
  Status Send(const pod::Frame& frame) override { return pod::SendFrame(socket_, frame); }

 private:
  const UniqueFd& socket_;
};

// Until the job's part on this node is over.
void Loop(Lifecycle& lifecycle, const UniqueFd& link, const Channel& channel, const Worker& worker,
          const Operations& operations) {
  lifecycle.Begin();
  while (!lifecycle.left()) {
    pollfd polled[] = {
        {.fd = worker.fd().get(), .events = POLLIN, .revents = 0},
        {.fd = channel.fd().get(), .events = POLLIN, .revents = 0},
        {.fd = lifecycle.heeds_link() ? link.get() : -1, .events = POLLIN, .revents = 0},
        {.fd = lifecycle.watches_pod() ? operations.exit_fd().get() : -1,
         .events = POLLIN,
         .revents = 0},
    };
    const int timeout = lifecycle.has_timers() ? static_cast<int>(kTick.count()) : -1;
    if (::poll(polled, std::size(polled), timeout) < 0) continue;
    lifecycle.Turn({.worker = polled[0].revents != 0,
                    .channel = polled[1].revents != 0,
                    .link = polled[2].revents != 0,
                    .pod = polled[3].revents != 0});
  }
}

Status Run(const pod::WardenEnvironment& environment, const UniqueFd& link) {
  IgnoreSignals();
  HOLDFAST_CHECK(WaitForExec(environment.exec_fd));
  HOLDFAST_CHECK(JoinCgroupsOf(environment.task_pid));
  HOLDFAST_CHECK(BindLike(environment.task_pid));
  HOLDFAST_CHECK(BindToShare(environment.slot, environment.slots));
  RaiseHardLimits();
  UseAllDescriptors();
  Job job{.environment = environment};
  HOLDFAST_TRY(job.oom_score_adj, OomScoreAdjOf(environment.task_pid));
  const Status shielded = SetOomScoreAdj(kKilledLast);
  HOLDFAST_CHECK(Configure(job));
  if (!shielded) log::Failure("oom-score", shielded.error());
  HOLDFAST_TRY(Store store, OpenStore(job));
  HOLDFAST_CHECK(ReceiveLaunch(link, job));

  const auto& coordinator = job.config.coordinator;
  HOLDFAST_TRY(auto authenticator, MakeMungeAuthenticator(coordinator.user));
  HOLDFAST_TRY(
      const auto channel,
      Channel::Open({.target = fmt::format("{}:{}", coordinator.host, coordinator.warden_port)},
                    std::move(authenticator)));
  const auto tell = [&](v1::FromWarden message) { channel->Send(std::move(message)); };
  Operations operations(job, std::move(store.jobs), std::move(store.found), tell);
  Spot spot(environment.node, tell);
  if (const Status watching = spot.Watch(NoticeSettings(job.config)); !watching)
    log::Failure("notices", watching.error());
  // Ends before `operations`, whose functions it runs.
  HOLDFAST_TRY(const auto worker, Worker::Start());
  SocketLink task(link);
  Lifecycle lifecycle(job, task, *channel, *worker, operations, spot);
  Loop(lifecycle, link, *channel, *worker, operations);
  log::Info("end");
  return {};
}

}  // namespace

int RunWarden(const char* const* environment) {
  const auto parsed = pod::ParseWardenEnvironment(environment);
  if (!parsed) return 1;  // nobody to tell: the link's number is in there
  const auto link = TakeDescriptor(parsed->link_fd);
  if (!link) return 1;
  const Status ran = Run(*parsed, *link);
  if (ran) return 0;
  log::Failure("warden", ran.error());
  [[maybe_unused]] const Status told = pod::SendFrame(
      *link,
      {.type = pod::FrameType::kFailed,
       .message = fmt::format("holdfast: node {}: {}", parsed->node, ran.error().message())});
  return 1;
}

}  // namespace holdfast::warden
