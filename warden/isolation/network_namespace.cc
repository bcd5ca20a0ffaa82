#include "warden/isolation/network_namespace.h"

#include <fcntl.h>
#include <sched.h>

#include <cstdio>
#include <cstdlib>
#include <string>
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

ScopedNamespace::ScopedNamespace(const UniqueFd& ns, const char* name, int type)
    : name_(name), type_(type) {
  auto own = OpenFile(std::string("/proc/thread-self/ns/") + name, O_RDONLY);
  if (!own) {
    status_ = std::unexpected(std::move(own).error());
  } else if (::setns(ns.get(), type) != 0) {
    status_ = FailErrno(std::string("entering the pod's namespace ") + name);
  } else {
    own_ = std::move(*own);
  }
}

ScopedNamespace::~ScopedNamespace() {
  if (!own_.valid() || ::setns(own_.get(), type_) == 0) return;
  std::fprintf(stderr, "holdfast: cannot leave a pod's namespace %s: aborting\n", name_);
  std::abort();
}

ScopedNetworkNamespace::ScopedNetworkNamespace(const UniqueFd& ns)
    : ScopedNamespace(ns, "net", CLONE_NEWNET) {}

ScopedIpcNamespace::ScopedIpcNamespace(const UniqueFd& ns)
    : ScopedNamespace(ns, "ipc", CLONE_NEWIPC) {}

}  // namespace holdfast::warden
