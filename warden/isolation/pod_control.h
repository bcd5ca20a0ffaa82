// What a warden and its pod's PID 1 say to each other over a SOCK_SEQPACKET pair: one message per
// packet. Used by warden/isolation/pod.cc and warden/isolation/pod_init.cc, which always come from
// the same build.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::warden {

enum class ControlType : char {
  kReady = 'R',    // init: the pod is made
  kFailed = 'F',   // init: what was asked cannot be done; payload says why
  kStart = 'S',    // warden: start pod-root; payload is its argv, each argument NUL-terminated
  kStarted = 'P',  // init: payload is its pid in the pod
  kAdopt = 'A',    // warden: the process whose pid is the payload is pod-root
  kExited = 'X',   // init: pod-root ended; payload is its wait status
  kLetGo = 'L',    // warden: close those descriptors
  kHold = 'H',     // warden: keep this descriptor until every process of the pod is dead
  kCover = 'C',    // warden: take /proc/sys/kernel and /proc/sys/fs out of the pod's sight
  kUncover = 'U',  // warden: undo that
  kDone = 'D',     // init: kCover or kUncover is done
};

struct ControlMessage {
  ControlType type{};
  std::string payload;
  UniqueFd descriptor;  // with kHold
};

// Descriptors of PID 1: this socket, and what goes into files of /etc.
inline constexpr int kControlFd = 3;
inline constexpr int kHostsFd = 4;
inline constexpr int kResolverFd = 5;

Status SendControl(const UniqueFd& socket, ControlType type, const std::string& payload = "");
Status SendDescriptor(const UniqueFd& socket, ControlType type, const UniqueFd& descriptor);
// kNotFound when the peer is gone, kTimeout when nothing came in time.
Result<ControlMessage> ReceiveControl(const UniqueFd& socket,
                                      std::optional<std::chrono::milliseconds> timeout);

std::string JoinArguments(const std::vector<std::string>& arguments);
std::vector<std::string> SplitArguments(const std::string& payload);
// kInternal if it is not a whole number.
Result<int> ReadNumber(const std::string& text);

}  // namespace holdfast::warden
