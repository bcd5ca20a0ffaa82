#include "warden/isolation/network_namespace.h"

#include <fcntl.h>
#include <sched.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/files.h"

namespace holdfast::warden {

Result<UniqueFd> MakeNetworkNamespace() {
  Result<UniqueFd> made;
  // A thread of its own: it need not come back.
  std::thread([&] {
    made = ::unshare(CLONE_NEWNET) == 0 ? OpenFile("/proc/thread-self/ns/net", O_RDONLY)
                                        : FailErrno("making a network namespace");
  }).join();
  return made;
}

ScopedNetworkNamespace::ScopedNetworkNamespace(const UniqueFd& ns) {
  auto own = OpenFile("/proc/thread-self/ns/net", O_RDONLY);
  if (!own) {
    status_ = std::unexpected(std::move(own).error());
  } else if (::setns(ns.get(), CLONE_NEWNET) != 0) {
    status_ = FailErrno("entering the pod's network namespace");
  } else {
    own_ = std::move(*own);
  }
}

ScopedNetworkNamespace::~ScopedNetworkNamespace() {
  if (!own_.valid() || ::setns(own_.get(), CLONE_NEWNET) == 0) return;
  std::fputs("holdfast: cannot leave a pod's network namespace: aborting\n", stderr);
  std::abort();
}

}  // namespace holdfast::warden
