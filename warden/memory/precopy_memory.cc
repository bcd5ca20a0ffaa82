#include "warden/memory/precopy_memory.h"

#include <fcntl.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/log.h"
#include "base/numbers.h"
#include "warden/files/scratch.h"
#include "warden/files/tree.h"
#include "warden/isolation/pod_files.h"
#include "warden/memory/each_piece.h"
#include "warden/memory/frozen_memory.h"
#include "warden/memory/live_memory.h"
#include "warden/memory/unwritten.h"

namespace holdfast::warden {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;
using Seconds = std::chrono::duration<double>;

// What a freeze takes besides storing: CRIU, the files, the manifest.
constexpr Seconds kFixedTime{5};
// How much is stored, down to the disk, to learn how fast that goes.
constexpr uint64_t kSampleBytes = 256 << 20;
// Of the measured rate, because the freeze may meet a slower store.
constexpr double kTrust = 0.5;

nanoseconds ThreadCpuTime() {
  timespec time = {};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

// Keeps all threads together within the limits. Thread-safe.
class Pace {
 public:
  // `frozen_bytes`: what a freeze would have to store if nothing were stored ahead.
  Pace(const PrecopyLimits& limits, uint64_t frozen_bytes, const std::stop_token& stop)
      : limits_(limits), frozen_bytes_(frozen_bytes), stop_(stop) {}

  // A piece has been stored, which took the calling thread so long on a CPU. Waits as long as the
  // limits want. False: no more.
  bool Stored(uint64_t size_bytes, nanoseconds cpu_time) {
    std::unique_lock lock(mutex_);
    bytes_ += size_bytes;
    cpu_time_ += cpu_time;
    const Seconds early = Earliest() - Elapsed();
    if (early.count() > 0) {
      // Nobody notifies: it ends when the time is over, or at once when it is stopped.
      std::condition_variable_any never;
      never.wait_for(lock, stop_, std::chrono::duration_cast<nanoseconds>(early),
                     [] { return false; });
    }
    return MayGoOn();
  }
  bool MayGoOn() const {
    if (stop_.stop_requested()) return false;
    return !limits_.deadline || system_clock::now() < *FreezeBy();
  }
  // All that has been stored until now is durable. For one thread, while no other is at work.
  void Durable() { rate_ = static_cast<double>(bytes_) / std::max(Elapsed().count(), 1e-3); }
  uint64_t bytes() const { return bytes_; }
  nanoseconds cpu_time() const { return cpu_time_; }

  std::optional<system_clock::time_point> FreezeBy() const {
    if (!limits_.deadline) return std::nullopt;
    Seconds needed = 2 * kFixedTime;
    if (rate_ > 0)
      needed = kFixedTime + Seconds(static_cast<double>(frozen_bytes_) / rate_ / kTrust);
    return *limits_.deadline - std::chrono::duration_cast<system_clock::duration>(needed);
  }

 private:
  Seconds Elapsed() const { return steady_clock::now() - begin_; }
  // How much time must have passed for what has been done.
  Seconds Earliest() const {
    Seconds time{0};
    if (limits_.cores > 0) time = Seconds(cpu_time_) / limits_.cores;
    if (limits_.bytes_per_second > 0)
      time = std::max(time, Seconds(static_cast<double>(bytes_) /
                                    static_cast<double>(limits_.bytes_per_second)));
    return time;
  }

  const PrecopyLimits& limits_;
  const uint64_t frozen_bytes_;
  const std::stop_token& stop_;
  const steady_clock::time_point begin_ = steady_clock::now();
  std::mutex mutex_;
  double rate_ = 0;  // bytes each second, to the disk; 0: not known yet
  std::atomic<uint64_t> bytes_ = 0;
  nanoseconds cpu_time_{};
};

struct LivePiece {
  std::shared_ptr<const LiveMemory> memory;
  MemoryPiece piece;
};

// The pod's memory, process by process, in pieces of one stream. What ends or goes meanwhile is
// passed over.
class LivePieces {
 public:
  static Result<LivePieces> Of(const Pod& pod, const WriteTracking* tracking,
                               uint32_t compared_checkpoint) {
    HOLDFAST_TRY(const std::vector<std::string> names, ListDirectory(pod.proc_path()));
    LivePieces pieces(pod.proc_path(), tracking, compared_checkpoint);
    for (const std::string& name : names)
      // PID 1 is not saved.
      if (const auto pid = ParseNumber<pid_t>(name); pid && *pid != 1)
        pieces.processes_.push_back(*pid);
    return pieces;
  }

  // Of all that there is now.
  uint64_t CountBytes() const {
    uint64_t total = 0;
    for (const pid_t pid : processes_)
      if (const auto process = Scan(pid)) total += process->cutter.size_bytes();
    return total;
  }

  Result<std::optional<LivePiece>> Next() {
    while (true) {
      if (current_) {
        if (auto piece = current_->cutter.Next()) {
          if (current_->unwritten) piece->unwritten = current_->unwritten->Of(*piece);
          // Streams of several processes in one, one after the other.
          piece->stream_offset = offset_;
          offset_ += piece->size_bytes;
          return LivePiece{current_->memory, *std::move(piece)};
        }
        current_.reset();
      }
      if (next_ == processes_.size()) return std::nullopt;
      if (auto process = Scan(processes_[next_++])) current_.emplace(*std::move(process));
      if (current_) FindUnwritten(*current_);
    }
  }

 private:
  struct Process {
    std::shared_ptr<const LiveMemory> memory;
    MemoryCutter cutter;
    std::optional<UnwrittenBlocks> unwritten;
  };

  LivePieces(std::string proc, const WriteTracking* tracking, uint32_t compared_checkpoint)
      : proc_(std::move(proc)), tracking_(tracking), compared_checkpoint_(compared_checkpoint) {}
  std::optional<Process> Scan(pid_t pid) const {
    auto memory = LiveMemory::Open(proc_, pid);
    if (!memory) return std::nullopt;
    const auto pages = memory->Scan();
    if (!pages) return std::nullopt;
    return Process{.memory = std::make_shared<const LiveMemory>(std::move(*memory)),
                   .cutter = MemoryCutter(*pages),
                   .unwritten = std::nullopt};
  }
  void FindUnwritten(Process& process) const {
    if (!tracking_) return;
    if (auto found = tracking_->Find(process.memory->pid(), compared_checkpoint_))
      process.unwritten.emplace(std::move(found->ranges), *found->saved);
  }

  std::string proc_;
  const WriteTracking* tracking_;
  uint32_t compared_checkpoint_;
  std::vector<pid_t> processes_;
  size_t next_ = 0;
  std::optional<Process> current_;
  uint64_t offset_ = 0;
};

// Private files, which are stored too, but not ahead.
uint64_t ScratchBytes(const Pod& pod) {
  constexpr uint64_t kStatBlockBytes = 512;  // st_blocks, stat(2)
  uint64_t size = 0;
  const auto pod_root = OpenPodRoot(pod);
  if (!pod_root) return size;
  for (const std::string& root : ScratchRoots(pod.options())) {
    const auto directory = OpenInPod(*pod_root, root, O_RDONLY | O_DIRECTORY);
    if (!directory) continue;
    const Status walked = WalkTree(*directory, std::nullopt, [&](const FoundFile& found) -> Status {
      size += static_cast<uint64_t>(found.info.st_blocks) * kStatBlockBytes;
      return {};
    });
    if (!walked) log::Failure("count-scratch", walked.error());
  }
  return size;
}

}  // namespace

Result<PrecopyResult> PrecopyMemory(const Pod& pod, storage::PodWriter& writer,
                                    const PrecopyLimits& limits, const std::stop_token& stop,
                                    const WriteTracking* tracking) {
  HOLDFAST_TRY(LivePieces pieces, LivePieces::Of(pod, tracking, writer.compared_checkpoint()));
  HOLDFAST_TRY(const uint32_t stream, writer.AddStream("ahead"));
  Pace pace(limits, pieces.CountBytes() + ScratchBytes(pod), stop);
  std::atomic<bool> goes_on = pace.MayGoOn();
  uint64_t given_bytes = 0;
  const auto up_to = [&](uint64_t limit_bytes) {
    return [&, limit_bytes]() -> Result<std::optional<LivePiece>> {
      if (!goes_on || given_bytes >= limit_bytes) return std::nullopt;
      auto work = pieces.Next();
      if (work && *work) given_bytes += (*work)->piece.size_bytes - UnwrittenBytes((*work)->piece);
      return work;
    };
  };
  const auto store = [&](const LivePiece& live) -> Status {
    if (!goes_on) return {};
    const nanoseconds begin = ThreadCpuTime();
    const auto& [memory, piece] = live;
    uint64_t read_bytes = 0;
    bool gone = false;
    // What is written meanwhile is no reason to doubt what was not until then: nothing is verified.
    const Status put =
        PutPiece(writer, stream, memory->pid(), piece, /*verify=*/false,
                 [&](const MemoryRun& run, uint64_t skip, std::span<std::byte> out) -> Status {
                   gone = !memory->Read(run.address + skip, out);
                   if (gone) return Fail(Code::kNotFound, "memory that was there is gone");
                   read_bytes += out.size();
                   return {};
                 });
    if (gone) return {};
    HOLDFAST_CHECK(put);
    if (!pace.Stored(read_bytes, ThreadCpuTime() - begin)) goes_on = false;
    return {};
  };
  if (limits.deadline) {
    HOLDFAST_CHECK(ForEachPiece(limits.threads, up_to(kSampleBytes), store));
    HOLDFAST_CHECK(writer.Flush());
    pace.Durable();
    goes_on = goes_on && pace.MayGoOn();
  }
  HOLDFAST_CHECK(ForEachPiece(limits.threads, up_to(std::numeric_limits<uint64_t>::max()), store));
  return PrecopyResult{.read_bytes = pace.bytes(),
                       .complete = goes_on,
                       .cpu_time = pace.cpu_time(),
                       .freeze_by = pace.FreezeBy()};
}

}  // namespace holdfast::warden
