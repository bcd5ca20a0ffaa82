// Whom the warden's loop (lifecycle.h) works with, as it sees them. In a warden they are Channel,
// Worker, Operations and a socket; in a test of the loop they are whatever it wants to try.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "pod/signals.h"
#include "pod/task_link.h"
#include "protocol/holdfast.pb.h"

namespace holdfast::warden {

// What time it is.
using Now = std::function<std::chrono::steady_clock::time_point()>;

// What comes over the line. On every connection the first message is a Welcome whose sender is
// proven.
struct Incoming {
  bool lost = false;  // the stream broke; no message
  v1::ToWarden message;
};

// To the coordinator. Thread-safe, but Take is for one thread.
class CoordinatorLine {
 public:
  virtual ~CoordinatorLine() = default;

  // What the next connection begins with (credential and nonce are filled in); until then none is
  // made. No effect from when it has been said to Reopen.
  virtual void SetHello(v1::Hello hello) = 0;
  // The owner has dealt with everything up to the loss of the connection.
  virtual void Reopen() = 0;
  // Takes it back, and with it the coordinator's chance to hear it. False if it has been said
  // already.
  virtual bool WithdrawHello() = 0;
  // To the coordinator, in the order of the calls, after the Hello; never blocks.
  virtual void Send(v1::FromWarden message) = 0;
  // Whether the coordinator has answered with a Welcome.
  virtual bool attached() const = 0;
  // Since when no coordinator has answered a Hello with a Welcome; nothing if one has, and is
  // there.
  virtual std::optional<std::chrono::steady_clock::time_point> away_since() const = 0;
  virtual std::vector<Incoming> Take() = 0;
};

// Does what blocks, one task after the other.
class Runner {
 public:
  using Task = std::function<Status()>;
  using Done = std::function<void(Status)>;

  virtual ~Runner() = default;
  // Runs `task` elsewhere, then `done` on the thread that calls Collect.
  virtual void Run(Task task, Done done) = 0;
  virtual void Collect() = 0;
  // Whether a task has been given whose `done` has not been called.
  virtual bool busy() const = 0;
};

// What a warden does with its pod, one blocking operation each. All run by the Runner, one at a
// time, in the order that state.h allows; the other functions say who calls them.
class PodOperations {
 public:
  virtual ~PodOperations() = default;

  // A fresh pod, or one restored and held; either way cut off and not running. On failure there is
  // no pod.
  virtual Status Create(const v1::Welcome& welcome) = 0;
  // Lets the pod go and joins it to its network.
  virtual Status Start() = 0;
  // Begins to store the running pod's memory ahead of a Save of the same number, and returns; that
  // it is done is told by Precopied. Save goes on from whatever has been stored until then.
  virtual Status BeginPrecopy(const v1::Precopy& precopy) = 0;
  // Ends that, and removes what it stored.
  virtual Status DropPrecopy() = 0;
  // Cuts, freezes, and makes everything durable, once the pod has all the memory that it was
  // restored with. On failure the pod goes on as if nothing had been.
  virtual Status Save(const v1::Prepare& prepare) = 0;
  // Pod 0: stores the job's files.
  virtual Status Commit(const v1::Commit& commit) = 0;
  // Pod 0: then writes the manifest, unless it is too late for that.
  virtual Status Seal(std::chrono::steady_clock::time_point deadline) = 0;
  // A frozen pod goes on; with `drop`, what it saved is removed.
  virtual Status Resume(bool drop) = 0;
  // Kills the pod, frozen or not.
  virtual Status Release() = 0;
  // Pod 0: removes checkpoints that are no longer to be kept. After Commit, when nobody waits.
  virtual Status Tidy() = 0;
  // Removes all of the job's checkpoints.
  virtual Status RemoveCheckpoints() = 0;

  // For the main thread, while no operation is under way.
  // How the pod ended.
  virtual Result<ExitStatus> TakeExit() = 0;
  // Why the pod was killed, if memory of a lazy restore could not be had, or processes of it have
  // died of a save.
  virtual std::optional<Error> damage() const = 0;
  // The kernel has killed processes of the pod because the job's memory limit was reached.
  virtual bool ran_out_of_memory() const = 0;
  virtual const v1::Prepared& prepared() const = 0;
  // What storage has, as pod 0 found it and has added to it.
  virtual const std::vector<v1::Saved>& saved() const = 0;
  virtual const std::vector<v1::Damaged>& damaged() const = 0;
  virtual uint32_t committed() const = 0;
  // The log of the operation that was done last.
  virtual const std::string& log_path() const = 0;

  // For the main thread, at any time: Slurm is about to suspend the job, and this process with it.
  // A Save under way fails as soon as it can, so that the pod's network is not cut for as long.
  virtual void StandStill() = 0;

  // For the main thread, as long as there is a pod: its root is to pass the signal on.
  virtual Status Signal(const pod::RelayedSignal& signal) = 0;
};

// The task beside the warden: pod/task_link.h.
class TaskLink {
 public:
  virtual ~TaskLink() = default;
  virtual Result<pod::Frame> Receive() = 0;
  virtual Status Send(const pod::Frame& frame) = 0;
};

}  // namespace holdfast::warden
