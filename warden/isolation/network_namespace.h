// Working in another network or IPC namespace for a moment. For the calling thread only; sockets
// opened meanwhile stay in that namespace.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::warden {

// A new one, for as long as the descriptor, or an interface's other end, is there.
Result<UniqueFd> MakeNetworkNamespace();

class ScopedNamespace {
 public:
  // Aborts the process if the thread cannot go back: whatever it did next would be done in the
  // wrong place.
  ~ScopedNamespace();
  ScopedNamespace(const ScopedNamespace&) = delete;
  ScopedNamespace& operator=(const ScopedNamespace&) = delete;

  // Whether the namespace was entered; if not, the thread is where it was.
  const Status& status() const { return status_; }

 protected:
  ScopedNamespace(const UniqueFd& ns, const char* name, int type);

 private:
  const char* const name_;
  const int type_;
  UniqueFd own_;
  Status status_;
};

class ScopedNetworkNamespace : public ScopedNamespace {
 public:
  explicit ScopedNetworkNamespace(const UniqueFd& ns);
};

class ScopedIpcNamespace : public ScopedNamespace {
 public:
  explicit ScopedIpcNamespace(const UniqueFd& ns);
};

}  // namespace holdfast::warden
