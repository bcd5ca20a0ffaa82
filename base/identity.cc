#include "base/identity.h"

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "base/files.h"

namespace holdfast {
namespace {

// glibc's wrappers change every thread of the process; the system calls change the calling one.

bool ReadCapabilities(__user_cap_data_struct (&data)[_LINUX_CAPABILITY_U32S_3]) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  return ::syscall(SYS_capget, &header, data) == 0;
}

// All that this thread may have, or none.
bool UseCapabilities(bool use) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (!ReadCapabilities(data)) return false;
  for (__user_cap_data_struct& word : data) word.effective = use ? word.permitted : 0;
  return ::syscall(SYS_capset, &header, data) == 0;
}

bool MayChangeIdentity() {
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  return ReadCapabilities(data) && (data[0].permitted & CAP_TO_MASK(CAP_SETUID)) != 0;
}

void SetThreadIdentity(const Identity& identity) {
  // KEEPCAPS, or there would be no way back.
  if (UseCapabilities(true) && ::prctl(PR_SET_KEEPCAPS, 1) == 0 &&
      ::syscall(SYS_setgroups, identity.groups.size(), identity.groups.data()) == 0 &&
      ::syscall(SYS_setresgid, identity.gid, identity.gid, identity.gid) == 0 &&
      ::syscall(SYS_setresuid, identity.uid, identity.uid, identity.uid) == 0 &&
      UseCapabilities(identity.uid == 0))
    return;
  std::fprintf(stderr, "holdfast: cannot take the identity of uid %u: aborting\n",
               static_cast<unsigned>(identity.uid));
  std::abort();
}

}  // namespace

Identity CurrentIdentity() {
  Identity identity{.uid = ::geteuid(), .gid = ::getegid()};  // of the thread
  identity.groups.resize(static_cast<size_t>(std::max(0, ::getgroups(0, nullptr))));
  const int count = ::getgroups(static_cast<int>(identity.groups.size()), identity.groups.data());
  identity.groups.resize(static_cast<size_t>(std::max(0, count)));
  return identity;
}

Result<Identity> IdentityOfProcess(pid_t pid) {
  return IdentityOfProcessAt("/proc/" + std::to_string(pid));
}

Result<Identity> IdentityOfProcessAt(const std::string& directory) {
  HOLDFAST_TRY(const std::string status, ReadFile(directory + "/status"));
  Identity identity;
  bool has_uid = false, has_gid = false;
  std::istringstream lines(status);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string key, real;
    fields >> key;
    if (key == "Uid:") {
      has_uid = static_cast<bool>(fields >> real >> identity.uid);
    } else if (key == "Gid:") {
      has_gid = static_cast<bool>(fields >> real >> identity.gid);
    } else if (key == "Groups:") {
      for (gid_t group; fields >> group;) identity.groups.push_back(group);
    }
  }
  if (!has_uid || !has_gid)
    return Fail(Code::kInternal, "reading the identity of the process at " + directory +
                                     ": no Uid or Gid in its status");
  return identity;
}

Result<Identity> IdentityOfUser(uid_t uid) {
  const passwd* user = ::getpwuid(uid);
  if (user == nullptr)
    return Fail(Code::kNotFound,
                "user id " + std::to_string(uid) + " has no entry in the user database");
  Identity identity{.uid = uid, .gid = user->pw_gid};
  const std::string name = user->pw_name;
  // getgrouplist says how many there are when there is too little room.
  int count = 0;
  ::getgrouplist(name.c_str(), identity.gid, nullptr, &count);
  identity.groups.resize(static_cast<size_t>(count));
  if (::getgrouplist(name.c_str(), identity.gid, identity.groups.data(), &count) < 0)
    return Fail(Code::kUnavailable, "the groups of user " + name + " changed while they were read");
  identity.groups.resize(static_cast<size_t>(count));
  return identity;
}

ScopedIdentity::ScopedIdentity(const Identity& identity) {
  if (!MayChangeIdentity()) return;
  previous_ = CurrentIdentity();
  SetThreadIdentity(identity);
  switched_ = true;
}

ScopedIdentity::~ScopedIdentity() {
  if (switched_) SetThreadIdentity(previous_);
}

}  // namespace holdfast
