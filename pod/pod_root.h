// pod-root: the root of the process tree that is saved. It starts the batch script in pod 0, serves
// holdfast-rsh and srun in every pod, passes on signals, and collects what its descendants leave
// behind. It ends as the script ends; in other pods, when pod 0's does.
//
// Linked statically and run from a copy inside the pod, so that a restore needs no file of the
// node's. Runs as the job's user and is trusted with nothing more.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "pod/pod_directory.h"
#include "pod/signals.h"
#include "pod/steps/desk.h"

namespace holdfast::pod {

class PodRoot {
 public:
  PodRoot(uint32_t pod, std::vector<Peer> peers) : pod_(pod), peers_(std::move(peers)) {}

  // Runs to the end of the job and says how to end.
  Result<ExitStatus> Run();

 private:
  Status Listen();
  Status StartScript();
  Status WatchFirstPod();
  Status Turn();
  Status TakeSignal();
  void Relay(const RelayedSignal& relayed) const;
  void Reap();
  void Accept();
  // Looks at what a new connection wants. False while it has not said.
  bool Greet(UniqueFd& caller);
  void StartSession(const UniqueFd& caller, const char* mode);

  uint32_t pod_;
  std::vector<Peer> peers_;
  UniqueFd signals_, listener_;
  UniqueFd first_;                  // others than pod 0: the connection to it
  std::vector<UniqueFd> callers_;   // connections that have not said what they want
  std::vector<UniqueFd> watchers_;  // pod 0: the other pods'
  std::optional<Desk> desk_;        // pod 0: where srun asks for steps
  pid_t script_ = -1;
  std::vector<pid_t> sessions_;
  std::optional<ExitStatus> ended_;
};

}  // namespace holdfast::pod
