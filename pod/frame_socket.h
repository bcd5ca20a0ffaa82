// The connection between holdfast-rsh or srun and the pod-root that serves it: frames over TCP on
// the job's own network. One thread; never blocks; what cannot be sent yet waits here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::pod {

// Numbers are saved in running jobs: do not change.
enum class RshFrame : uint8_t {
  kWatch = 1,  // another pod's root: nothing follows; the end of the connection is the job's end
  kRun = 2,    // first frame of a session: a serialized Launch
  kInput = 3,  // to the command
  kInputEnd = 4,
  kOutput = 5,  // from the command
  kError = 6,
  kExit = 7,  // last frame: how it ended, as text "CODE SIGNAL"

  // srun and the allocator (pod/steps/desk.h). The end of the connection is the step's end.
  kAskStep = 20,    // first frame: a StepRequest
  kStepMade = 21,   // a StepGrant
  kStepWaits = 22,  // for other steps' end; the reason, for people
  kStepNever = 23,  // last frame: the reason
  kStepOver = 24,   // from srun: what the step had is free again

  // srun and a step daemon (pod/steps/daemon.h)
  kRunStep = 30,     // first frame: a DaemonOrder
  kTaskOutput = 31,  // from the daemon: a task's number and data
  kTaskError = 32,
  kTaskExits = 33,   // how tasks ended
  kStepDone = 34,    // last frame: all tasks have ended, and no output follows
  kStepInput = 35,   // a task's number or kAllTasks, and data; none: the end
  kInputTaken = 36,  // from the daemon: the tasks have read it
  kStepSignal = 37,  // a signal for all tasks, in decimal; SIGKILL means all that they started, too

  // What MPI programs exchange at their start (pod/steps/mpi/exchange.h): between a daemon and
  // srun, and between holdfast-pmix and its daemon, which passes them on.
  kContribute = 40,  // to srun: a Contribution
  kGathered = 41,    // from srun: what became of it
  kLetter = 42,      // to srun for another daemon, and from it
  kStepAbort = 43,   // to srun: an AbortWish
  kPmixReady = 44,   // from holdfast-pmix, once: by task the environment that it needs
};

struct RshMessage {
  RshFrame type{};
  std::string data;
};

class FrameSocket {
 public:
  static constexpr size_t kMaxFrameBytes = 256 << 20;
  // On the wire: length of the data (4 bytes, little-endian as every node of a job is), type, data.
  static constexpr size_t kHeaderBytes = 5;

  // Takes a connected stream socket.
  explicit FrameSocket(UniqueFd socket);

  int fd() const { return socket_.get(); }
  // What to poll for now, besides POLLIN.
  short events() const;
  bool has_unsent() const { return sent_ < out_.size(); }
  // The peer has closed, or the connection broke; frames read before may still be there.
  bool closed() const { return closed_; }

  void Queue(RshFrame type, std::string_view data = {});
  // Sends and receives what is possible without waiting.
  void Pump();
  // The next whole frame; nothing if there is none yet. A malformed one closes the connection.
  std::optional<RshMessage> Next();

 private:
  void Receive();
  void Send();

  UniqueFd socket_;
  // What was taken and sent stays in front for a while: frames can be large.
  std::string in_, out_;
  size_t taken_ = 0, sent_ = 0;
  bool closed_ = false;
};

}  // namespace holdfast::pod
