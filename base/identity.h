// Whose rights an operation uses. Wardens run as root; whatever touches a user's path does so with
// that user's identity (invariant 5), which also is what works where root is squashed.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace holdfast {

struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary

  bool operator==(const Identity&) const = default;
};

// The identity of process `pid` (its effective ids), from /proc; of one that `directory` shows,
// like /proc/PID.
Result<Identity> IdentityOfProcess(pid_t pid);
Result<Identity> IdentityOfProcessAt(const std::string& directory);
// A user's, with all groups, from the user database; kNotFound if it has no such user.
Result<Identity> IdentityOfUser(uid_t uid);
// What this process runs as.
Identity CurrentIdentity();

// While it lives, the calling thread, and it alone, is the given user: all of its ids and groups,
// and none of root's capabilities. So file servers that squash root, FUSE file systems and quotas
// treat it as they treat the user. A thread started meanwhile inherits that. They may be nested:
// each puts back what it found. Does nothing in a process that is no root. Aborts the process if
// the thread's identity cannot be put back, because going on with another identity than believed is
// the one thing privileged code must never do.
//
// Meanwhile the user can send the process signals, as to any process of theirs; not trace it,
// because the thread could take its capabilities up again.
class ScopedIdentity {
 public:
  explicit ScopedIdentity(const Identity& identity);
  ~ScopedIdentity();
  ScopedIdentity(const ScopedIdentity&) = delete;
  ScopedIdentity& operator=(const ScopedIdentity&) = delete;

 private:
  Identity previous_;
  bool switched_ = false;
};

}  // namespace holdfast
