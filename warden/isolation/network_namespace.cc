#include "warden/isolation/network_namespace.h"

#include <fcntl.h>
#include <sched.h>

#include <cstdio>
#include <cstdlib>

#include "base/files.h"

namespace holdfast::warden {

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
