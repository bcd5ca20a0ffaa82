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
#include "pod/signals.h"

namespace holdfast::pod {

enum class FrameType : uint8_t {
  kLaunch = 1,  // task -> warden, pod 0 only: a serialized Launch
  kSignal = 2,  // task -> warden: a signal of Slurm's has come
  kEnded = 3,   // warden -> task -> holdfast-batch: how the script ended; exit the same way
  kFailed = 4,  // warden -> task -> holdfast-batch: it cannot run or go on; a message for the job's
                // stderr
  // warden -> task -> holdfast-batch: saved and killed; the task ends. Slurm is going to end the
  // batch step, which waits for that; or with `leave` it does not wait.
  kReleased = 5,
  kDelivered = 6,  // warden -> task -> holdfast-batch: the job has got a signal of Slurm's
  // warden -> task -> holdfast-batch: what is to be restored has another number of pods than this
  // step has tasks; the task ends, and holdfast-batch begins the pod step anew.
  kRegroup = 7,
};

struct Frame {
  FrameType type{};
  std::string launch;          // kLaunch
  int signal = 0;              // kSignal
  SignalScope scope{};         // kSignal
  ExitStatus status;           // kEnded
  bool out_of_memory = false;  // kEnded: the kernel had killed processes of the job for want of it
  std::string message;         // kFailed
  bool leave = false;          // kReleased
  uint32_t pods = 0;           // kRegroup
};

// Blocks until all is written. Never raises SIGPIPE.
Status SendFrame(const UniqueFd& socket, const Frame& frame);
// Blocks for a whole frame; kNotFound when the peer has closed; kInvalid for a malformed one.
// Frames are bounded (kMaxFrameBytes): a hostile peer cannot make the reader allocate more.
Result<Frame> ReceiveFrame(const UniqueFd& socket);
inline constexpr size_t kMaxFrameBytes = 16 << 20;

}  // namespace holdfast::pod
