#include "pod/job_socket.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <thread>

namespace holdfast::pod {
namespace {

// How long an attempt may take, the first and the last ones. Left to itself, the kernel asks again
// after a second, and then ever less often; but what it asked may have been dropped because the
// other pod was a few milliseconds later, or cut off for a checkpoint.
constexpr std::chrono::milliseconds kFirstAttempt{20};
constexpr std::chrono::milliseconds kLongestAttempt{1000};
constexpr std::chrono::milliseconds kPause{20};

// connect(2) too: socket(7). 0: no limit.
void LimitSending(const UniqueFd& socket, std::chrono::milliseconds limit) {
  const timeval value{.tv_sec = limit.count() / 1000, .tv_usec = limit.count() % 1000 * 1000};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &value, sizeof value);
}

Result<sockaddr_in> AddressOf(const Peer& peer) {
  sockaddr_in address{
      .sin_family = AF_INET, .sin_port = htons(kRshPort), .sin_addr = {}, .sin_zero = {}};
  if (::inet_pton(AF_INET, peer.address.c_str(), &address.sin_addr) != 1)
    return Fail(Code::kInvalid, peer.address + " is not an IPv4 address");
  return address;
}

}  // namespace

Result<UniqueFd> ListenAt(const Peer& self) {
  HOLDFAST_TRY(const sockaddr_in address, AddressOf(self));
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return FailErrno("socket");
  const int one = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), SOMAXCONN) != 0)
    return FailErrno("listening at " + self.address);
  return socket;
}

Result<UniqueFd> ConnectTo(const Peer& peer, std::chrono::milliseconds patience) {
  HOLDFAST_TRY(const sockaddr_in address, AddressOf(peer));
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (auto attempt = kFirstAttempt;; attempt = std::min(2 * attempt, kLongestAttempt)) {
    UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.valid()) return FailErrno("socket");
    LimitSending(socket, attempt);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      LimitSending(socket, {});
      return socket;
    }
    if (std::chrono::steady_clock::now() > deadline)
      return FailErrno("connecting to " + peer.hostname + " (" + peer.address + ")");
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace holdfast::pod
