#include "warden/criu/known_waits.h"

#include <unistd.h>

#include <cstdio>

namespace holdfast::warden {
namespace {

bool Exists(pid_t tid) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d", tid);
  return ::access(path, F_OK) == 0;
}

}  // namespace

KnownWaits::KnownWaits(int fd) : fd_(fd) {
  size_t read = 0;
  for (Wait wait; ::pread(fd_, &wait, sizeof wait, static_cast<off_t>(read * sizeof wait)) ==
                  static_cast<ssize_t>(sizeof wait);
       ++read)
    if (Exists(static_cast<pid_t>(wait.thread))) waits_.push_back(wait);
  for (size_t i = 0; i < waits_.size(); ++i) {
    index_[static_cast<pid_t>(waits_[i].thread)] = i;
    if (waits_.size() < read) Write(i);
  }
  [[maybe_unused]] const int cut =
      ::ftruncate(fd_, static_cast<off_t>(waits_.size() * sizeof(Wait)));
}

std::optional<int64_t> KnownWaits::NumberOf(pid_t tid, uint64_t ip,
                                            const Arguments& arguments) const {
  const auto found = index_.find(tid);
  if (found == index_.end()) return std::nullopt;
  const Wait& wait = waits_[found->second];
  if (wait.ip != ip || wait.arguments != arguments) return std::nullopt;
  return wait.number;
}

void KnownWaits::Note(pid_t tid, uint64_t ip, const Arguments& arguments, int64_t number) {
  const size_t index = index_.try_emplace(tid, waits_.size()).first->second;
  if (index == waits_.size()) waits_.emplace_back();
  waits_[index] = {.thread = tid, .number = number, .ip = ip, .arguments = arguments};
  Write(index);
}

void KnownWaits::Write(size_t index) const {
  // If it cannot be kept, a later image has EINTR.
  [[maybe_unused]] const ssize_t written =
      ::pwrite(fd_, &waits_[index], sizeof(Wait), static_cast<off_t>(index * sizeof(Wait)));
}

}  // namespace holdfast::warden
