#include "pod/job_socket.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace holdfast::pod {
namespace {

// The kernel asks again after a second, and then ever less often. What it asked may have been dropped
// because the other pod was not there yet, or cut off for a checkpoint.
constexpr timeval kAttempt{.tv_sec = 0, .tv_usec = 200'000};
constexpr timeval kNoLimit{};

void LimitSending(const UniqueFd& socket, const timeval& limit) {
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

Result<sockaddr_in> AddressOf(const Peer& peer) {
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(kRshPort), .sin_addr = {}, .sin_zero = {}};
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
  while (true) {
    UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.valid()) return FailErrno("socket");
    LimitSending(socket, kAttempt);  // connect(2) too: socket(7)
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      LimitSending(socket, kNoLimit);
      return socket;
    }
    if (std::chrono::steady_clock::now() > deadline)
      return FailErrno("connecting to " + peer.hostname + " (" + peer.address + ")");
    ::usleep(50'000);
  }
}

}  // namespace holdfast::pod
