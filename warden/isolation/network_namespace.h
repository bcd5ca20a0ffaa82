// Working in another network namespace for a moment. For the calling thread only; sockets opened
// meanwhile stay in that namespace.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::warden {

// A new one, for as long as the descriptor, or an interface's other end, is there.
Result<UniqueFd> MakeNetworkNamespace();

class ScopedNetworkNamespace {
 public:
  explicit ScopedNetworkNamespace(const UniqueFd& ns);
  // Aborts the process if the thread cannot go back: whatever it did next would be done to the
  // wrong network.
  ~ScopedNetworkNamespace();
  ScopedNetworkNamespace(const ScopedNetworkNamespace&) = delete;
  ScopedNetworkNamespace& operator=(const ScopedNetworkNamespace&) = delete;

  // Whether the namespace was entered; if not, the thread is where it was.
  const Status& status() const { return status_; }

 private:
  UniqueFd own_;
  Status status_;
};

}  // namespace holdfast::warden
