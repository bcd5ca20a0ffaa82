#include "warden/loop/precopy.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/duration.h"
#include "base/log.h"
#include "warden/isolation/affinity.h"
#include "warden/loop/timeline.h"

namespace holdfast::warden {
namespace {

// A core that the job wants gives a thread with this nice value a tenth of its time (the weights of
// kernel/sched/core.c: 110 to 1024).
constexpr int kGentle = 10;

std::string Describe(const PrecopyResult& result) {
  return fmt::format("{}{}, {} of CPU time", FormatBytes(result.read_bytes),
                     result.complete ? "" : ", not all", FormatDuration(result.cpu_time));
}

}  // namespace

void PrecopyWorth::Note(const storage::PodWriter::Precopied& precopied) {
  constexpr unsigned kLongestPause = 8;
  if (precopied.stored_bytes == 0) return;
  left_out_ = 0;
  if (2 * precopied.wasted_bytes > precopied.stored_bytes)
    pause_ = std::clamp(2 * pause_, 1U, kLongestPause);
  else
    pause_ = 0;
}

Precopy::Options PrecopyOptionsOf(const config::Config& config, const v1::Precopy& request,
                                  unsigned threads) {
  Precopy::Options options{.checkpoint = request.checkpoint()};
  if (request.deadline_unix_ms() != 0) {
    options.limits.threads = threads;
    options.limits.deadline = std::chrono::system_clock::time_point(
        std::chrono::milliseconds(request.deadline_unix_ms()));
    options.gentle = false;
    return options;
  }
  const double cores = BoundCores() * config.checkpoint.precopy_cpu / 100.0;
  options.limits.threads =
      std::min(static_cast<unsigned>(std::ceil(cores)), threads);  // 0 if the site wants none
  options.limits.cores = cores;
  options.limits.bytes_per_second = config.checkpoint.precopy_bandwidth_bytes;
  return options;
}

Precopy::Precopy(const Pod& pod, const WriteTracking* tracking, const Options& options,
                 OpenWriter open, std::function<void(v1::FromWarden)> tell)
    : pod_(pod),
      tracking_(tracking),
      options_(options),
      open_(std::move(open)),
      tell_(std::move(tell)),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

Precopy::~Precopy() = default;

void Precopy::Repeat() {
  const std::lock_guard lock(mutex_);
  if (done_) tell_(*done_);
}

std::unique_ptr<storage::PodWriter> Precopy::Take() {
  thread_.request_stop();
  thread_.join();
  if (!writer_) return nullptr;
  if (const Status begun = writer_->BeginAgain(); !begun) {
    log::Failure("precopy", begun.error());
    writer_.reset();  // the freeze does without
  }
  return std::move(writer_);
}

void Precopy::Run(const std::stop_token& stop) {
  v1::FromWarden message;
  message.mutable_precopied()->set_checkpoint(options_.checkpoint);
  if (options_.limits.threads > 0) {
    // Of this thread and those that it starts; on Linux a nice value is a thread's.
    if (options_.gentle) ::setpriority(PRIO_PROCESS, 0, kGentle);
    const auto begin = std::chrono::steady_clock::now();
    const auto copied = Copy(stop);
    if (!copied) writer_.reset();  // the freeze does without
    if (copied && copied->freeze_by)
      message.mutable_precopied()->set_freeze_by_unix_ms(UnixMs(*copied->freeze_by));
    tell_(MakeEvent("precopied", options_.checkpoint, std::chrono::steady_clock::now() - begin,
                    copied ? Describe(*copied) : copied.error().message()));
  }
  const std::lock_guard lock(mutex_);
  done_ = std::move(message);
  tell_(*done_);
}

Result<PrecopyResult> Precopy::Copy(const std::stop_token& stop) {
  HOLDFAST_TRY(writer_, open_());
  HOLDFAST_TRY(const PrecopyResult result,
               PrecopyMemory(pod_, *writer_, options_.limits, stop, tracking_));
  // While the job still runs: it is what takes longest on a disk. Not if time presses.
  if (result.complete) HOLDFAST_CHECK(writer_->Flush());
  return result;
}

}  // namespace holdfast::warden
