#include "warden/memory/precopy_memory.h"

#include <sys/statvfs.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/parallel.h"
#include "warden/memory/frozen_memory.h"
#include "warden/memory/live_memory.h"

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

struct Work {
  const LiveMemory* memory;
  MemoryPiece piece;
};

struct Plan {
  std::vector<std::unique_ptr<LiveMemory>> processes;
  std::vector<Work> work;
  uint64_t total_bytes = 0;
};

Result<Plan> MakePlan(const Pod& pod) {
  const std::string proc = pod.proc_path();
  HOLDFAST_TRY(const std::vector<std::string> names, ListDirectory(proc));
  Plan plan;
  for (const std::string& name : names) {
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    // PID 1 is not saved.
    if (error != std::errc() || end != name.data() + name.size() || pid == 1) continue;
    // It may have ended meanwhile.
    auto memory = LiveMemory::Open(proc, pid);
    if (!memory) continue;
    const auto pages = memory->Scan();
    if (!pages) continue;
    plan.processes.push_back(std::make_unique<LiveMemory>(std::move(*memory)));
    for (MemoryPiece& piece : CutMemory(*pages)) {
      // Streams of several processes in one, one after the other.
      const uint64_t offset = plan.total_bytes;
      plan.total_bytes += piece.size_bytes;
      piece.stream_offset = offset;
      plan.work.push_back({plan.processes.back().get(), std::move(piece)});
    }
  }
  return plan;
}

// Private /tmp and /dev/shm, which are stored too, but not ahead.
uint64_t ScratchBytes(const Pod& pod) {
  uint64_t size = 0;
  for (const char* place : {"/tmp", "/dev/shm"}) {
    struct statvfs info = {};
    if (::statvfs((pod.root_path() + place).c_str(), &info) == 0)
      size += (info.f_blocks - info.f_bfree) * info.f_frsize;
  }
  return size;
}

}  // namespace

Result<PrecopyResult> PrecopyMemory(const Pod& pod, storage::PodWriter& writer,
                                    const PrecopyLimits& limits, const std::stop_token& stop) {
  HOLDFAST_TRY(const Plan plan, MakePlan(pod));
  HOLDFAST_TRY(const uint32_t stream, writer.AddStream("precopy"));
  Pace pace(limits, plan.total_bytes + ScratchBytes(pod), stop);
  std::atomic<bool> goes_on = pace.MayGoOn();
  const auto store = [&](size_t i) -> Status {
    if (!goes_on) return {};
    static thread_local std::vector<std::byte> buffer(storage::kExtentBytes);
    const nanoseconds begin = ThreadCpuTime();
    const auto& [memory, piece] = plan.work[i];
    const std::span data = std::span(buffer).first(piece.size_bytes);
    size_t filled = 0;
    for (const MemoryRun& run : piece.runs) {
      if (!memory->Read(run.address, data.subspan(filled, run.size_bytes))) return {};
      filled += run.size_bytes;
    }
    HOLDFAST_CHECK(writer.Put(stream, piece.stream_offset, data, piece.runs.front().address,
                              static_cast<uint32_t>(memory->pid())));
    if (!pace.Stored(piece.size_bytes, ThreadCpuTime() - begin)) goes_on = false;
    return {};
  };
  size_t sample = 0;
  if (limits.deadline) {
    for (uint64_t size = 0; sample < plan.work.size() && size < kSampleBytes; ++sample)
      size += plan.work[sample].piece.size_bytes;
    HOLDFAST_CHECK(ForEachParallel(limits.threads, sample, store));
    HOLDFAST_CHECK(writer.Flush());
    pace.Durable();
    goes_on = goes_on && pace.MayGoOn();
  }
  HOLDFAST_CHECK(ForEachParallel(limits.threads, plan.work.size() - sample,
                                 [&](size_t i) { return store(sample + i); }));
  return PrecopyResult{.read_bytes = pace.bytes(),
                       .complete = goes_on,
                       .cpu_time = pace.cpu_time(),
                       .freeze_by = pace.FreezeBy()};
}

}  // namespace holdfast::warden
