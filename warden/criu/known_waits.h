// Which system calls are being continued, from one save of a pod to the next (interrupted_waits.h).
// They lie in a file that has no name, which the warden keeps and gives to each CRIU. What is in it
// is the pod's owner's word, as CRIU is, and decides about the owner's processes alone.
//
// Used by preload.cc, in CRIU, by one thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "warden/criu/interrupted_waits.h"

namespace holdfast::warden {

// Its number in CRIU.
inline constexpr int kWaitsFd = 6;

class KnownWaits {
 public:
  // Reads what is there, and forgets threads that have ended. If there is no such file, nothing is
  // known.
  explicit KnownWaits(int fd);

  std::optional<int64_t> NumberOf(pid_t tid, uint64_t ip, const Arguments& arguments) const;
  // Kept at once: CRIU may be killed.
  void Note(pid_t tid, uint64_t ip, const Arguments& arguments, int64_t number);

 private:
  // The same registers, the same wait.
  struct Wait {
    int64_t thread;
    int64_t number;
    uint64_t ip;
    Arguments arguments;
  };
  void Write(size_t index) const;

  int fd_;
  std::vector<Wait> waits_;  // as in the file
  std::unordered_map<pid_t, size_t> index_;
};

}  // namespace holdfast::warden
