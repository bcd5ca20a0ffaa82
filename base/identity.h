// Whose rights an operation uses. Wardens run as root; whatever touches a user's path does so with
// that user's identity (invariant 5), which also is what works where root is squashed.
#pragma once

#include <sys/types.h>

#include <vector>

#include "base/result.h"

namespace holdfast {

struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary

  bool operator==(const Identity&) const = default;
};

// The identity of process `pid` (its effective ids), from /proc.
Result<Identity> IdentityOfProcess(pid_t pid);
// A user's, with all groups, from the user database; kNotFound if it has no such user.
Result<Identity> IdentityOfUser(uid_t uid);
// What this process runs as.
Identity CurrentIdentity();

// While it lives, file accesses of the calling thread, and of it alone, are the given user's: their
// fsuid, fsgid and groups, and none of root's capabilities over files. A thread started meanwhile
// inherits them. They may be nested: each puts back what it found. Does nothing when the process
// already runs as that user. Aborts the process if the thread's identity cannot be put back,
// because going on with another identity than believed is the one thing privileged code must never
// do.
class ScopedFsIdentity {
 public:
  explicit ScopedFsIdentity(const Identity& identity);
  ~ScopedFsIdentity();
  ScopedFsIdentity(const ScopedFsIdentity&) = delete;
  ScopedFsIdentity& operator=(const ScopedFsIdentity&) = delete;

 private:
  Identity previous_;
  bool switched_ = false;
};

}  // namespace holdfast
