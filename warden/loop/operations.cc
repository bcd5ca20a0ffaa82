#include "warden/loop/operations.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/duration.h"
#include "base/files.h"
#include "base/log.h"
#include "pod/launch.h"
#include "pod/pod_directory.h"
#include "warden/criu/accept_queues.h"
#include "warden/criu/dump_memory.h"
#include "warden/isolation/affinity.h"
#include "warden/isolation/limits.h"
#include "warden/isolation/memory_room.h"
#include "warden/loop/furnish.h"
#include "warden/loop/job_files.h"
#include "warden/loop/origin.h"
#include "warden/loop/summaries.h"
#include "warden/memory/userfault.h"

namespace holdfast::warden {
namespace {

using std::chrono::steady_clock;

// Readers and writers of storage, and copying memory: as many as help, with a few left for what
// else the node does.
constexpr unsigned kThreads = 4;

// What saving takes besides the writer's buffers and tables: CRIU, and what the back end has under
// way.
constexpr uint64_t kBesideBuffers = 64 << 20;
constexpr uint64_t kLeastRoom = kBesideBuffers + (16 << 20);
// While it is being saved. More than what is stored between two looks.
constexpr uint64_t kRoomKept = 16 << 20;

// For what is only removed: sooner or later the next checkpoint does that.
constexpr std::chrono::seconds kRemovalLimit{30};

// For a pod's private directories, which the job's end and its requeueing wait for, because then
// Slurm kills the warden: what is left the next one on the node removes.
constexpr std::chrono::seconds kFilesLimit{10};

// After Slurm's SIGTSTP it takes two seconds to suspend the job (_handle_suspend in
// src/slurmd/slurmstepd/req.c).
constexpr std::chrono::seconds kSuspending{4};

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

std::optional<Error> Operations::damage() const {
  if (damage_) return damage_;
  if (casualties_)
    if (const Status intact = casualties_->Check(); !intact) return intact.error();
  return memory_ ? memory_->failure() : std::nullopt;
}

Status Operations::Save(const v1::Prepare& prepare) {
  huge_pages_ = {};
  checkpoint_ = prepare.checkpoint();
  log_path_ = job_.CheckpointLogs(prepare.checkpoint()) + "/dump.log";
  HOLDFAST_CHECK(AwaitMemory(prepare));
  // The job stands still no longer than that, in the commit neither.
  stands_until_ = steady_clock::now() + job_.config.checkpoint.timeout;
  const StoreLimit limit(*store_, stands_until_);
  HOLDFAST_TRY(casualties_, Casualties::Watch(*pod_));
  const uint64_t kills = OomKills().value_or(0);
  const Status saved = FreezeAndStore(prepare);
  if (saved) return {};
  // While CRIU is there the kernel takes it first; what it kills after that is the job's own.
  if (OomKills().value_or(0) > kills) ++others_oom_kills_;
  // As it was before: first the processes, then their network, then the debris.
  frozen_.reset();
  if (const Status goes_on = GoOnIfIntact(); !goes_on) log::Failure("go-on", goes_on.error());
  writer_.reset();
  return saved;
}

Status Operations::GoOnIfIntact() {
  const auto casualties = std::exchange(casualties_, std::nullopt);
  const Status intact = casualties ? casualties->Check() : Status();
  if (intact) return network_->Uncut();
  damage_ = intact.error();
  HOLDFAST_CHECK(pod_->Kill());
  return intact;
}

void Operations::StandStill() { stopped_until_ = steady_clock::now() + kSuspending; }

Status Operations::MayGoOn() const {
  if (steady_clock::now() < stopped_until_.load())
    return Fail(Code::kCancelled, "the job is being suspended (SIGTSTP)");
  return {};
}

Result<storage::WriteOptions> Operations::HowToWrite() const {
  HOLDFAST_TRY(std::shared_ptr<MemoryWatch> watch, MemoryWatch::Start(kRoomKept));
  storage::WriteOptions options{.threads = kThreads,
                                .memory_budget_bytes = job_.config.checkpoint.memory_budget_bytes,
                                .compression_level = job_.config.checkpoint.compression_level,
                                .may_go_on = [this, watch]() -> Status {
                                  HOLDFAST_CHECK(MayGoOn());
                                  return watch->Check();
                                }};
  HOLDFAST_TRY(const auto room, MemoryRoom());
  if (!room) return options;
  // Rather no checkpoint than a process of the job killed for it.
  if (*room < kLeastRoom)
    return Fail(Code::kNoSpace,
                fmt::format("the job has {} left of its memory limit on this node, and saving it "
                            "takes {}; ask for more with --mem",
                            FormatBytes(*room), FormatBytes(kLeastRoom)));
  options.memory_budget_bytes = std::min(options.memory_budget_bytes, *room - kBesideBuffers);
  return options;
}

Status Operations::BeginPrecopy(const v1::Precopy& precopy) {
  if (precopy_ && precopy_->checkpoint() == precopy.checkpoint()) {
    precopy_->Repeat();
    return {};
  }
  precopy_.reset();
  Precopy::Options options = PrecopyOptionsOf(job_.config, precopy, kThreads);
  // Memory that a restore still owes is not there to be read.
  const bool complete = !memory_ || memory_->Wait(steady_clock::now());
  if (!complete || !precopy_worth_.MayTry()) options.limits.threads = 0;
  precopy_ = std::make_unique<Precopy>(
      *pod_, tracking_ ? &*tracking_ : nullptr, options,
      [this, options] {
        return HowToWrite().and_then([&](const storage::WriteOptions& how) {
          return store_->Write(options.checkpoint, job_.pod(), how);
        });
      },
      tell_);
  return {};
}

Status Operations::DropPrecopy() {
  const StoreLimit limit(*store_, steady_clock::now() + kRemovalLimit);
  precopy_.reset();
  return {};
}

// Until then the checkpoint that it was restored from is the newest, and the network stays joined.
Status Operations::AwaitMemory(const v1::Prepare& prepare) {
  if (!memory_) return {};
  std::chrono::milliseconds time = job_.config.checkpoint.timeout;
  if (prepare.deadline_unix_ms() != 0)
    time = std::min(time, std::chrono::milliseconds(prepare.deadline_unix_ms() - UnixMs()));
  HOLDFAST_CHECK(memory_->Wait(steady_clock::now() + time));
  memory_.reset();
  source_.reset();
  return {};
}

Status Operations::FreezeAndStore(const v1::Prepare& prepare) {
  store_->SetDeadline(prepare.deadline_unix_ms() == 0
                          ? steady_clock::time_point::max()
                          : steady_clock::now() +
                                std::chrono::milliseconds(prepare.deadline_unix_ms() - UnixMs()));
  writer_.reset();
  if (precopy_ && precopy_->checkpoint() == prepare.checkpoint()) writer_ = precopy_->Take();
  precopy_.reset();
  if (!writer_) {
    HOLDFAST_TRY(const storage::WriteOptions how, HowToWrite());
    HOLDFAST_TRY(writer_, store_->Write(prepare.checkpoint(), job_.pod(), how));
  }
  // Not when the network is cut already, which could be what the accepting waits for.
  const auto accepts_until = AcceptsUntil(prepare.deadline_unix_ms());
  HOLDFAST_CHECK(AwaitAccepts(*pod_, accepts_until));
  const SaveOptions options{.criu = job_.config.node.criu,
                            .waits = &waits_,
                            .tracking = tracking_ ? &*tracking_ : nullptr,
                            .checkpoint = prepare.checkpoint(),
                            .log_directory = job_.CheckpointLogs(prepare.checkpoint()),
                            .threads = kThreads,
                            .timeout = job_.config.checkpoint.timeout,
                            .accepts_until = accepts_until + kAcceptsWhenCut,
                            .output_paths = job_.output_paths,
                            .local_directories = config::ListOf(job_.config.node.local_directories),
                            .may_go_on = [this] { return MayGoOn(); }};
  HOLDFAST_TRY(const auto room, MemoryRoom());
  HOLDFAST_CHECK(CheckDumpMemory(*pod_, room));
  const auto begin = steady_clock::now();
  HOLDFAST_CHECK(network_->Cut());
  Tell("cut", steady_clock::now() - begin, "");
  HOLDFAST_TRY(frozen_, FrozenPod::Save(*pod_, *writer_, options, events_));
  HOLDFAST_TRY(const storage::PartSummary summary, writer_->Finish());
  const std::chrono::nanoseconds frozen = steady_clock::now() - begin;
  const storage::PodWriter::Precopied precopied = writer_->precopied();
  precopy_worth_.Note(precopied);
  Tell("saved", frozen,
       fmt::format("{} stored{}", FormatBytes(summary.stored_bytes),
                   precopied.stored_bytes == 0 ? ""
                                               : fmt::format(", {} of it ahead, {} in vain",
                                                             FormatBytes(precopied.stored_bytes),
                                                             FormatBytes(precopied.wasted_bytes))));
  prepared_.set_checkpoint(prepare.checkpoint());
  *prepared_.mutable_part() = ToPart(summary);
  prepared_.mutable_part()->set_frozen_ns(frozen.count());
  if (const size_t left_out =
          DescribeFiles(frozen_->files(), job_.environment.pods, *prepared_.mutable_part());
      left_out > 0)
    Tell("files-skipped", {}, fmt::format("{}: more open files than can be listed", left_out));
  return {};
}

Status Operations::Resume(bool drop) {
  Status resumed;
  if (frozen_) resumed = frozen_->Resume();
  frozen_.reset();
  if (resumed) casualties_.reset();
  if (resumed) MakeHugePagesAgain();
  if (const Status goes_on = GoOnIfIntact(); !goes_on && resumed) resumed = goes_on;
  const StoreLimit limit(*store_, steady_clock::now() + kRemovalLimit);
  writer_.reset();
  if (!drop) return resumed;
  const Status discarded = store_->Discard(prepared_.checkpoint());
  return resumed ? discarded : resumed;
}

void Operations::MakeHugePagesAgain() {
  HugePagePlan split;
  if (tracking_) split = tracking_->TakeSplit();
  if (split.empty()) return;
  huge_pages_ = std::jthread([&pod = *pod_, split = std::move(split)](const std::stop_token& stop) {
    const auto begin = steady_clock::now();
    const uint64_t made = MakeHugePages(pod, HugePageRules::OfThisNode(), split, stop);
    log::Info("huge-pages", {{"took", FormatDuration(steady_clock::now() - begin)},
                             {"detail", FormatBytes(made)}});
  });
}

Status Operations::Release() {
  const auto begin = steady_clock::now();
  const Status killed = pod_->Kill();
  const StoreLimit limit(*store_, steady_clock::now() + kRemovalLimit);
  precopy_.reset();
  frozen_.reset();
  // A process that cannot be killed yet must not get other memory than its own.
  if (killed) memory_.reset();
  writer_.reset();
  outside_.reset();
  network_.reset();
  if (killed) RemovePrivateDirectories();
  if (killed) Tell("released", steady_clock::now() - begin, "");
  return killed;
}

}  // namespace holdfast::warden
