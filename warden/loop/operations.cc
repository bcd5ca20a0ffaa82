#include "warden/loop/operations.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/duration.h"
#include "base/files.h"
#include "base/log.h"
#include "pod/launch.h"
#include "pod/pod_directory.h"
#include "warden/isolation/affinity.h"
#include "warden/isolation/limits.h"
#include "warden/isolation/memory_room.h"
#include "warden/loop/furnish.h"
#include "warden/loop/job_files.h"
#include "warden/loop/origin.h"
#include "warden/memory/userfault.h"

namespace holdfast::warden {
namespace {

using std::chrono::steady_clock;

// For a pod's private directories, which the job's end and its requeueing wait for, because then
// Slurm kills the warden: what is left the next one on the node removes.
constexpr std::chrono::seconds kFilesLimit{10};

}  // namespace

Operations::Operations(const Job& job, std::unique_ptr<storage::JobStore> store, Inventory found,
                       std::function<void(v1::FromWarden)> tell)
    : job_(job),
      store_(std::move(store)),
      tell_(std::move(tell)),
      events_([this](const std::string& name, std::chrono::nanoseconds duration,
                     const std::string& detail) { Tell(name, duration, detail); }),
      inventory_(std::move(found)),
      keep_(job.options.keep.value_or(1)) {}

Operations::~Operations() { Destroy(); }

void Operations::Tell(const std::string& name, std::chrono::nanoseconds duration,
                      const std::string& detail) {
  TellOf(checkpoint_, name, duration, detail);
}

void Operations::TellOf(uint32_t checkpoint, const std::string& name,
                        std::chrono::nanoseconds duration, const std::string& detail) {
  log::Info(name,
            {{"checkpoint", checkpoint}, {"took", FormatDuration(duration)}, {"detail", detail}});
  tell_(MakeEvent(name, checkpoint, duration, detail));
}

void Operations::Destroy() {
  const StoreLimit limit(*store_, steady_clock::now() + kRemovalLimit);
  huge_pages_ = {};
  Status killed;
  // Killed first: destroying a frozen pod would let it go on.
  if (pod_) killed = pod_->Kill();
  if (!killed) log::Failure("kill", killed.error());
  precopy_.reset();
  frozen_.reset();
  held_.reset();
  memory_.reset();
  source_.reset();
  writer_.reset();
  outside_.reset();
  network_.reset();
  pod_.reset();
  if (killed) RemovePrivateDirectories();
}

void Operations::RemovePrivateDirectories() {
  if (!private_directories_) return;
  const Status removed = private_directories_->Remove(steady_clock::now() + kFilesLimit);
  if (!removed) log::Failure("remove-private", removed.error());
}

Status Operations::Create(const v1::Welcome& welcome) {
  const auto begin = steady_clock::now();
  const auto create = [&]() -> Status {
    std::vector<std::string> hostnames;
    for (const v1::Peer& peer : welcome.network().peers()) hostnames.push_back(peer.hostname());
    if (welcome.restore_job() == 0) {
      HOLDFAST_CHECK(MakePod(welcome.network(), hostnames));
      return Furnish(welcome);
    }
    HOLDFAST_TRY(Origin origin, FindOrigin(welcome));
    HOLDFAST_CHECK(MakePod(welcome.network(), origin.manifest.hostnames));
    HOLDFAST_CHECK(Restore(origin));
    Tell(
        "restored", steady_clock::now() - begin,
        fmt::format("checkpoint {} of job {}", origin.manifest.checkpoint, origin.manifest.job.id));
    return {};
  };
  log_path_ = job_.log_directory;
  Status created = create();
  if (!created) Destroy();
  return created;
}

Status Operations::MakePod(const v1::Network& network, const std::vector<std::string>& hostnames) {
  if (hostnames.size() != job_.environment.pods ||
      static_cast<size_t>(network.peers_size()) != hostnames.size())
    return Fail(Code::kInternal, "the coordinator's network does not have one peer for each pod");
  network_options_ = {.vni = network.vni(),
                      .port = job_.config.node.vxlan_port,
                      .mtu = network.mtu(),
                      .subnet = job_.config.node.subnet,
                      .local_address = job_.underlay.address,
                      .peers = {}};
  for (int i = 0; i < network.peers_size(); ++i)
    network_options_.peers.push_back({.pod = network.peers(i).pod(),
                                      .node_address = network.peers(i).address(),
                                      .hostname = hostnames[static_cast<size_t>(i)],
                                      .slot = network.peers(i).slot()});
  PodOptions pod{.index = job_.pod(),
                 .hostname = hostnames[job_.pod()],
                 .owner = job_.owner(),
                 .oom_score_adj = job_.oom_score_adj};
  const bool has_outside = job_.config.node.outside_network != "none";
  // Nodes without these files have no names to add.
  const std::string node_hosts = ReadFile("/etc/hosts").value_or("");
  if (has_outside)
    pod.resolver = MakeResolverConfiguration(ReadFile("/etc/resolv.conf").value_or(""));
  HOLDFAST_TRY(pod.hosts, MakeHosts(network_options_, has_outside ? node_hosts : ""));
  HOLDFAST_TRY(auto directories,
               PrivateDirectories::Create(
                   job_.config.node.private_place,
                   fmt::format("{}-{}-{}", job_.id(), job_.environment.restart_count, job_.pod()),
                   config::ListOf(job_.config.node.private_directories)));
  pod.private_directories = private_directories_.emplace(std::move(directories)).list();
  HOLDFAST_TRY(pod_, Pod::Create(pod));
  if (const std::string& mode = job_.config.checkpoint.write_tracking; mode != "off") {
    if (const Status can = CheckWriteTracking(); can) {
      tracking_.emplace(/*verify=*/mode == "verify");
    } else {
      log::Info("no-write-tracking", {{"detail", can.error().message()}});
    }
  }
  HOLDFAST_TRY(waits_, FileInMemory(""));
  HOLDFAST_TRY(network_, JobNetwork::Create(*pod_, network_options_));
  if (!has_outside) return {};
  HOLDFAST_TRY(const std::string address, PodAddress(network_options_.subnet, job_.pod()));
  HOLDFAST_TRY(outside_, Outside::Open(*pod_, {.source = address,
                                               .subnet = network_options_.subnet,
                                               .closed = job_.config.node.closed_networks}));
  return {};
}

Status Operations::Furnish(const v1::Welcome& welcome) {
  Furniture furniture{.launch = job_.launch};
  if (!furniture.launch.empty() && !welcome.note().empty()) {
    HOLDFAST_TRY(pod::Launch launch, pod::ParseLaunch(furniture.launch));
    launch.note = welcome.note();
    furniture.launch = pod::Serialize(launch);
  }
  for (const v1::Peer& peer : welcome.network().peers()) {
    HOLDFAST_TRY(const std::string address, PodAddress(job_.config.node.subnet, peer.pod()));
    furniture.peers.push_back({.address = address, .hostname = peer.hostname()});
  }
  HOLDFAST_TRY(const pid_t init, pod_->OuterPid(1));
  HOLDFAST_CHECK(CopyLimits(job_.environment.task_pid, init));
  return FurnishPod(*pod_, furniture);
}

Status Operations::Restore(Origin& origin) {
  // The other job may remove its checkpoint at any time.
  const bool later = job_.config.checkpoint.restore == "lazy" && !origin.other;
  source_ = std::move(origin.reader);
  const EventSink events = [this, checkpoint = origin.manifest.checkpoint](
                               const std::string& name, std::chrono::nanoseconds duration,
                               const std::string& detail) {
    TellOf(checkpoint, name, duration, detail);
  };
  const RestoreOptions options{
      .criu = job_.config.node.criu,
      .log_directory = job_.CheckpointLogs(origin.manifest.checkpoint),
      .work_directory = fmt::format("{}/{}-{}", job_.WorkDirectories(), job_.id(), job_.pod()),
      .threads = kThreads,
      .timeout = job_.config.checkpoint.timeout,
      .memory = later ? MemoryComes::kLater : MemoryComes::kFirst,
      .files = origin.files.get(),
      .rollback = RollbackOptionsOf(job_, origin.manifest.checkpoint)};
  HOLDFAST_TRY(held_, HeldPod::Restore(*pod_, *source_, options, events));
  others_oom_kills_ = OomKills().value_or(0);
  std::string bindings;
  if (std::ranges::contains(source_->images(), kBindingsImage)) {
    HOLDFAST_TRY(bindings, source_->ReadImage(kBindingsImage));
  }
  memory_ = held_->TakeMemory();
  if (!memory_ || !later) source_.reset();
  return BindPod(*pod_, bindings);
}

Status Operations::Start() {
  if (held_) {
    // Not before: CRIU insists on the length that the output had.
    if (const std::string what = held_->rolled_back().Summary(checkpoint_); !what.empty())
      if (const Status told = TellJob(job_, *pod_, what); !told)
        log::Failure("tell-job", told.error());
    // Without it a few connections wait for ever; no reason to lose the job.
    if (outside_)
      if (const Status ended = outside_->EndHalfClosed(); !ended)
        log::Failure("end-half-closed", ended.error());
    HOLDFAST_CHECK(network_->Uncut());
    const Status resumed = held_->Resume();
    held_.reset();
    return resumed;
  }
  HOLDFAST_CHECK(network_->Uncut());
  return pod_->StartRoot(pod::PodRootArguments(job_.pod())).transform([](pid_t) {});
}

}  // namespace holdfast::warden
