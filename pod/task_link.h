// Between the pod step's task (holdfast-batch --task, the user) and the warden that the plugin
// started beside it (root): a socketpair, the task's descriptor number in HOLDFAST_TASK_FD, the
// warden's in HOLDFAST_WARDEN_FD. The task is the user's process: the warden believes nothing in a
// frame but what that user could do anyway.
//
// Also used between holdfast-batch and the task of pod 0, over an abstract socket: the same frames.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::pod {

enum class FrameType : uint8_t {
  // Task to warden. kLaunch, on pod 0 only: a serialized Launch. kSignal: a signal arrived at the
  // step (or, with from_batch, at the batch step).
  kLaunch = 1,
  kSignal = 2,
  // Warden to task, and on pod 0 from there to holdfast-batch. kEnded: how the script ended; exit
  // the same way. kFailed: it cannot run or go on; a message for the job's stderr. kReleased: saved
  // and killed, and Slurm will requeue the job; wait for SIGTERM, then exit.
  kEnded = 3,
  kFailed = 4,
  kReleased = 5,
};

struct Frame {
  FrameType type{};
  std::string launch;       // kLaunch
  int signal = 0;           // kSignal
  bool from_batch = false;  // kSignal
  ExitStatus status;        // kEnded
  std::string message;      // kFailed
};

// Blocks until all is written. Never raises SIGPIPE.
Status SendFrame(const UniqueFd& socket, const Frame& frame);
// Blocks for a whole frame; kNotFound when the peer has closed; kInvalid for a malformed one.
// Frames are bounded (kMaxFrameBytes): a hostile peer cannot make the reader allocate more.
Result<Frame> ReceiveFrame(const UniqueFd& socket);
inline constexpr size_t kMaxFrameBytes = 16 << 20;

}  // namespace holdfast::pod
