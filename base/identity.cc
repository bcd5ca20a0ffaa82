#include "base/identity.h"

#include <grp.h>
#include <pwd.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "base/files.h"

namespace holdfast {
namespace {

// glibc's wrappers change every thread of the process; the system calls change the calling one.
void SetThreadIdentity(const Identity& identity) {
  const bool groups_set =
      ::syscall(SYS_setgroups, identity.groups.size(), identity.groups.data()) == 0;
  ::syscall(SYS_setfsgid, identity.gid);
  ::syscall(SYS_setfsuid, identity.uid);
  // setfsuid reports no error; asking for an impossible id returns the present one unchanged.
  const bool ids_set = static_cast<uid_t>(::syscall(SYS_setfsuid, -1)) == identity.uid &&
                       static_cast<gid_t>(::syscall(SYS_setfsgid, -1)) == identity.gid;
  if (groups_set && ids_set) return;
  std::fprintf(stderr, "holdfast: cannot take the file identity of uid %u: aborting\n",
               static_cast<unsigned>(identity.uid));
  std::abort();
}

}  // namespace

Identity CurrentIdentity() {
  Identity identity{.uid = ::geteuid(), .gid = ::getegid()};
  identity.groups.resize(static_cast<size_t>(std::max(0, ::getgroups(0, nullptr))));
  const int count = ::getgroups(static_cast<int>(identity.groups.size()), identity.groups.data());
  identity.groups.resize(static_cast<size_t>(std::max(0, count)));
  return identity;
}

Result<Identity> IdentityOfProcess(pid_t pid) {
  HOLDFAST_TRY(const std::string status, ReadFile("/proc/" + std::to_string(pid) + "/status"));
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
    return Fail(Code::kInternal, "reading the identity of process " + std::to_string(pid) +
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

ScopedFsIdentity::ScopedFsIdentity(const Identity& identity) {
  if (::geteuid() != 0) return;
  previous_ = CurrentIdentity();
  // What the thread has now, not the process: an outer one of these may have changed it.
  previous_.uid = static_cast<uid_t>(::syscall(SYS_setfsuid, -1));
  previous_.gid = static_cast<gid_t>(::syscall(SYS_setfsgid, -1));
  SetThreadIdentity(identity);
  switched_ = true;
}

ScopedFsIdentity::~ScopedFsIdentity() {
  if (switched_) SetThreadIdentity(previous_);
}

}  // namespace holdfast
