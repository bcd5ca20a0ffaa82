// Saving the pod, and what becomes of it then: Operations of operations.h.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/duration.h"
#include "base/log.h"
#include "warden/criu/accept_queues.h"
#include "warden/criu/dump_memory.h"
#include "warden/isolation/memory_room.h"
#include "warden/loop/operations.h"
#include "warden/loop/summaries.h"

namespace holdfast::warden {

using std::chrono::steady_clock;

namespace {

// What saving takes besides the writer's buffers and tables: CRIU, and what the back end has under
// way.
constexpr uint64_t kBesideBuffers = 64 << 20;
constexpr uint64_t kLeastRoom = kBesideBuffers + (16 << 20);
// While it is being saved. More than what is stored between two looks.
constexpr uint64_t kRoomKept = 16 << 20;

// After Slurm's SIGTSTP it takes two seconds to suspend the job (_handle_suspend in
// src/slurmd/slurmstepd/req.c).
constexpr std::chrono::seconds kSuspending{4};

}  // namespace

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
  HOLDFAST_CHECK(AwaitAccepts(*pod_, accepts_until, [this] { return MayGoOn(); }));
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
