#include "pod/abstract_socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

namespace holdfast::pod {
namespace {

struct Address {
  sockaddr_un unix{.sun_family = AF_UNIX};
  socklen_t length = 0;
};

Result<Address> MakeAddress(const std::string& name) {
  Address address;
  // unix(7): a first byte of zero makes it abstract.
  if (name.empty() || name.size() > sizeof address.unix.sun_path - 1)
    return Fail(Code::kInvalid, "'" + name + "' is no name for a socket");
  std::memcpy(address.unix.sun_path + 1, name.data(), name.size());
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return address;
}

Result<UniqueFd> OpenSocket() {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return FailErrno("socket");
  return fd;
}

bool IsOwn(const UniqueFd& connection) {
  ucred peer = {};
  socklen_t length = sizeof peer;
  return ::getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
         peer.uid == ::geteuid();
}

}  // namespace

Result<UniqueFd> ListenAbstract(const std::string& name) {
  HOLDFAST_TRY(const Address address, MakeAddress(name));
  HOLDFAST_TRY(UniqueFd fd, OpenSocket());
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.unix), address.length) != 0)
    return FailErrno("bind");
  if (::listen(fd.get(), 4) != 0) return FailErrno("listen");
  return fd;
}

Result<UniqueFd> AcceptAbstract(const UniqueFd& listener) {
  UniqueFd connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection.valid()) return FailErrno("accept");
  if (!IsOwn(connection)) connection.Reset();
  return connection;
}

Result<UniqueFd> ConnectAbstract(const std::string& name) {
  HOLDFAST_TRY(const Address address, MakeAddress(name));
  HOLDFAST_TRY(UniqueFd fd, OpenSocket());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.unix), address.length) != 0)
    return FailErrno("connecting to holdfast-batch");
  if (!IsOwn(fd)) return Fail(Code::kDenied, "connecting to holdfast-batch: it is another user's");
  return fd;
}

}  // namespace holdfast::pod
