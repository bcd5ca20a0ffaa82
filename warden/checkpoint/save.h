// Saving a pod: freeze it with CRIU, copy what it holds into storage, and leave it frozen until
// told.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "storage/checkpoint.h"
#include "warden/isolation/pod.h"
#include "warden/memory/write_tracking.h"

namespace holdfast::warden {

// Tells the timeline what happened: name, how long it took, detail.
using EventSink = std::function<void(const std::string& name, std::chrono::nanoseconds duration,
                                     const std::string& detail)>;

struct SaveOptions {
  std::string criu;  // program
  std::string criu_preload = HOLDFAST_LIBEXEC "/holdfast-criu.so";
  const UniqueFd* waits = nullptr;  // an empty file at the pod's first save, then always the same
  WriteTracking* tracking = nullptr;
  uint32_t checkpoint = 0;    // that this is for
  std::string log_directory;  // root only; dump.log ends there
  unsigned threads = 2;
  std::chrono::seconds timeout{600};
  // Until then a save waits for connections to be accepted (warden/criu/accept_queues.h).
  std::chrono::steady_clock::time_point accepts_until;
  std::vector<std::string> output_paths;  // the job's stdout and stderr files, as the pod sees them
  std::vector<std::string> local_directories;  // of the node alone
  // Asked again and again until all has been read; its error ends the save. Any thread.
  std::function<Status()> may_go_on;
};

// A pod whose every process is frozen and whose state is in the writer (not yet finished).
// Destroying it lets the processes go on, unharmed.
class FrozenPod {
 public:
  // The network must have been cut. On any error the processes go on as if nothing had happened,
  // and the error quotes CRIU's own line.
  static Result<std::unique_ptr<FrozenPod>> Save(const Pod& pod, storage::PodWriter& writer,
                                                 const SaveOptions& options,
                                                 const EventSink& events);
  virtual ~FrozenPod() = default;
  // kUnavailable if CRIU has been killed: the processes go on since, and what has been read
  // meanwhile may be of different moments.
  virtual Status StillFrozen() const = 0;
  // Lets the processes go on and waits until they do. To stop them instead, kill the pod while this
  // lives.
  virtual Status Resume() = 0;
  // The files outside the pod's private directories that it has open for writing.
  virtual const std::vector<storage::FileRecord>& files() const = 0;
};

}  // namespace holdfast::warden
