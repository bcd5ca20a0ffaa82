// A pre-copy under way (memory/precopy_memory.h), on a thread of its own beside the worker's, so
// that a checkpoint that is wanted now can begin at once. Belongs to operations.cc, on the worker's
// thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "config/config.h"
#include "protocol/holdfast.pb.h"
#include "storage/checkpoint.h"
#include "warden/isolation/pod.h"
#include "warden/memory/precopy_memory.h"

namespace holdfast::warden {

// Whether a pre-copy is worth its cost. A job that rewrites all of its memory gains nothing by one,
// and its store is written to twice: then fewer and fewer attempts are made. On the worker's
// thread.
class PrecopyWorth {
 public:
  // Before an attempt.
  bool MayTry() { return left_out_ >= pause_ || (++left_out_, false); }
  // After a checkpoint.
  void Note(const storage::PodWriter::Precopied& precopied);

 private:
  unsigned pause_ = 0;     // checkpoints to be made without one
  unsigned left_out_ = 0;  // how many of these have been
};

class Precopy {
 public:
  struct Options {
    uint32_t checkpoint = 0;
    PrecopyLimits limits;  // no threads: nothing is pre-copied, and Precopied says so
    bool gentle = true;    // gives way to the job's own threads
  };
  using OpenWriter = std::function<Result<std::unique_ptr<storage::PodWriter>>()>;
  // `pod` and `tracking`, which may be null, must outlive it. `open` and `tell` are called on its
  // thread; the last message that it tells, however it went, is Precopied.
  Precopy(const Pod& pod, const WriteTracking* tracking, const Options& options, OpenWriter open,
          std::function<void(v1::FromWarden)> tell);
  // Stops, and leaves nothing behind.
  ~Precopy();

  uint32_t checkpoint() const { return options_.checkpoint; }
  // Says again that it is done, if it is.
  void Repeat();
  // Stops, and hands over the writer to go on with; null if there is none that works. Once.
  std::unique_ptr<storage::PodWriter> Take();

 private:
  void Run(const std::stop_token& stop);
  Result<PrecopyResult> Copy(const std::stop_token& stop);

  const Pod& pod_;
  const WriteTracking* const tracking_;
  const Options options_;
  const OpenWriter open_;
  const std::function<void(v1::FromWarden)> tell_;
  std::unique_ptr<storage::PodWriter> writer_;  // of the thread, until it has ended
  std::mutex mutex_;
  std::optional<v1::FromWarden> done_;
  std::jthread thread_;  // last: ends before what it uses
};

// Within the site's limits, or, against a deadline, with `threads` and all the CPU time there is.
Precopy::Options PrecopyOptionsOf(const config::Config& config, const v1::Precopy& request,
                                  unsigned threads);

}  // namespace holdfast::warden
