// A step daemon's PMIx server (pmix_server.h): a child that the frames between it and the other
// daemons' go through.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "pod/frame_socket.h"
#include "pod/steps/messages.h"

namespace holdfast::pod {

// Where the server and the tasks keep files of theirs. In the pod's own /tmp; the daemon removes it
// at the end of the step.
std::string PmixDirectory(const DaemonOrder& order);

class PmixLink {
 public:
  // Starts it and waits until tasks can connect to it. The error has what it said.
  static Result<PmixLink> Start(const DaemonOrder& order);

  // Variables that tasks need: those that all have alike, and by task the others.
  const std::vector<std::string>& common() const { return common_; }
  const std::vector<std::vector<std::string>>& of_tasks() const { return of_tasks_; }
  FrameSocket& socket() { return socket_; }

 private:
  explicit PmixLink(UniqueFd socket) : socket_(std::move(socket)) {}
  Status TakeEnvironments(std::string_view bytes, size_t tasks);

  FrameSocket socket_;
  std::vector<std::string> common_;
  std::vector<std::vector<std::string>> of_tasks_;
};

}  // namespace holdfast::pod
