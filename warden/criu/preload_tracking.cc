#include "warden/criu/preload_tracking.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "warden/criu/borrowed_thread.h"
#include "warden/criu/tracking_socket.h"

namespace holdfast::warden {
namespace {

// Nothing is gained by knowing what a small process writes.
constexpr unsigned long kLeastKib = 8 << 10;

// The processes that the warden has one of already; nothing if it wants none.
const std::optional<std::vector<pid_t>>& Known() {
  static const auto& known = *new std::optional<std::vector<pid_t>>([] {
    std::optional<std::vector<pid_t>> pids;
    if (::getenv(kTrackingVariable) == nullptr) return pids;
    const ssize_t size = ::recv(kTrackingFd, nullptr, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
    if (size < 0) return pids;
    pids.emplace(static_cast<size_t>(size) / sizeof(pid_t));
    ::recv(kTrackingFd, pids->data(), pids->size() * sizeof(pid_t), MSG_DONTWAIT);
    return pids;
  }());
  return known;
}

// Of a thread that is a main thread.
bool IsLargeProcess(pid_t tid) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/status", tid);
  pid_t process = 0;
  unsigned long kib = 0;
  FILE* const file = std::fopen(path, "re");
  for (char line[256]; file && std::fgets(line, sizeof line, file);) {
    std::sscanf(line, "Tgid: %d", &process);
    std::sscanf(line, "RssAnon: %lu", &kib);
  }
  if (file) std::fclose(file);
  return process == tid && kib >= kLeastKib;
}

void Send(pid_t pid, int descriptor) {
  iovec data{.iov_base = &pid, .iov_len = sizeof pid};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptor)] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  // If it does not get there, the process is read as a whole.
  ::sendmsg(kTrackingFd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

void GiveUserfault(pid_t tid) {
  if (!Known() || std::ranges::find(*Known(), tid) != Known()->end() || !IsLargeProcess(tid))
    return;
  const int process = static_cast<int>(::syscall(SYS_pidfd_open, tid, 0));
  if (process < 0) return;
  int duplicate = -1;
  {
    BorrowedThread thread(tid);
    const int64_t made =
        thread.Call(SYS_userfaultfd, {O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY});
    if (made >= 0) {
      duplicate = static_cast<int>(::syscall(SYS_pidfd_getfd, process, made, 0));
      thread.Call(SYS_close, {static_cast<uint64_t>(made)});
    }
  }
  if (duplicate >= 0) {
    Send(tid, duplicate);
    ::close(duplicate);
  }
  ::close(process);
}

}  // namespace holdfast::warden
