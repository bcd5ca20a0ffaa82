// Where srun asks for steps: the allocator's connections. In pod 0's root and its loop; never
// blocks. What a caller sends is not trusted: a malformed frame ends its connection.
#pragma once

#include <poll.h>

#include <list>
#include <optional>
#include <vector>

#include "pod/frame_socket.h"
#include "pod/steps/allocator.h"

namespace holdfast::pod {

class Desk {
 public:
  explicit Desk(const std::vector<NodeResources>& nodes) : allocator_(nodes) {}

  // A connection whose first frame is kAskStep; it has not been read.
  void Take(UniqueFd connection);
  void AddTo(std::vector<pollfd>& fds) const;
  // Does what can be done now.
  void Serve();

 private:
  struct Caller {
    FrameSocket socket;
    std::optional<StepRequest> waiting;
    std::optional<uint32_t> step;
    bool told = false;  // that it has to wait
    bool leaving = false;
  };

  void Read(Caller& caller);
  // Asks the allocator for the caller.
  void Try(Caller& caller);

  Allocator allocator_;
  std::list<Caller> callers_;  // in the order in which they came
};

}  // namespace holdfast::pod
