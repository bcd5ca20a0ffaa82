#include "warden/criu/unrestorable.h"

#include <fmt/format.h>

#include <set>

namespace holdfast::warden {
namespace {

constexpr uint32_t kOwnerIsThread = 0;  // fcntl(2): F_OWNER_TID

// Of the kinds that tell when there is something to read.
const image::fown_entry* OwnerOf(const image::file_entry& file) {
  if (file.has_reg()) return &file.reg().fown();
  if (file.has_isk()) return &file.isk().fown();
  if (file.has_usk()) return &file.usk().fown();
  if (file.has_pipe()) return &file.pipe().fown();
  if (file.has_tty()) return &file.tty().fown();
  return nullptr;
}

bool WatchesTwice(const image::eventpoll_file_entry& epoll) {
  std::set<uint32_t> watched;
  for (const image::eventpoll_tfd_entry& entry : epoll.tfd())
    if (!watched.insert(entry.tfd()).second) return true;
  return false;
}

std::unexpected<Error> Refuse(const std::string& why) {
  return Fail(Code::kUnsupported, "the job cannot be saved now\n  why:  " + why);
}

}  // namespace

Status CheckRestorable(const std::vector<image::file_entry>& files,
                       const std::vector<image::pstree_entry>& processes) {
  std::set<uint32_t> pids;
  for (const image::pstree_entry& process : processes) pids.insert(process.pid());
  for (const image::file_entry& file : files) {
    const image::fown_entry* owner = OwnerOf(file);
    if (owner != nullptr && owner->pid() != 0 && owner->has_pid_type() &&
        owner->pid_type() == kOwnerIsThread && !pids.contains(owner->pid()))
      return Refuse(
          fmt::format("thread {} gets the signals of a descriptor (F_SETOWN_EX with F_OWNER_TID), "
                      "which CRIU cannot restore\n  next: save again when it is closed, or let the "
                      "process get them (F_OWNER_PID)",
                      owner->pid()));
    if (file.has_epfd() && WatchesTwice(file.epfd()))
      return Refuse(
          "an epoll(7) watches a file by two descriptors, one of them closed and its number used "
          "again, which CRIU cannot restore\n  next: save again when that file is closed, or take "
          "descriptors out of the epoll (EPOLL_CTL_DEL) before they are closed");
  }
  return {};
}

}  // namespace holdfast::warden
