// UDP datagrams that wait to be read. They are read with MSG_PEEK, which leaves them in place, one
// after the other by SO_PEEK_OFF; they are put back by a raw socket, which may say whom they are
// from. To a local address such a packet goes by the loopback interface, whoever it is from.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/udp.h>
#include <netinet/ip.h>
#include <sys/socket.h>

#include <cstring>
#include <vector>

#include "warden/attributes/sockets.h"

namespace holdfast::warden {
namespace {

constexpr size_t kLargestDatagram = 65536;

// SO_PEEK_OFF as it was, when this goes.
class PeekFromStart {
 public:
  explicit PeekFromStart(const UniqueFd& socket) : socket_(socket) {
    socklen_t size = sizeof before_;
    ok_ = ::getsockopt(socket.get(), SOL_SOCKET, SO_PEEK_OFF, &before_, &size) == 0 && Set(0);
  }
  ~PeekFromStart() { Set(before_); }
  bool ok() const { return ok_; }

 private:
  bool Set(int offset) {
    return ::setsockopt(socket_.get(), SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset) == 0;
  }
  const UniqueFd& socket_;
  int before_ = -1;
  bool ok_ = false;
};

// The IPv4 address in it, also one that an IPv6 socket sees mapped.
std::optional<sockaddr_in> AsIpv4(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) return reinterpret_cast<const sockaddr_in&>(address);
  if (address.ss_family != AF_INET6) return std::nullopt;
  const auto& six = reinterpret_cast<const sockaddr_in6&>(address);
  sockaddr_in four = {.sin_family = AF_INET, .sin_port = six.sin6_port};
  if (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
    std::memcpy(&four.sin_addr, six.sin6_addr.s6_addr + 12, sizeof four.sin_addr);
  else if (!IN6_IS_ADDR_UNSPECIFIED(&six.sin6_addr))
    return std::nullopt;
  return four;
}

// Checksums of 0 mean "none" (RFC 768), and the kernel fills in what belongs to the IP header.
std::vector<std::byte> MakePacket(const attributes::Datagram& datagram, const sockaddr_in& to) {
  const size_t length = sizeof(udphdr) + datagram.data().size();
  iphdr ip = {};
  ip.version = 4;
  ip.ihl = sizeof ip / 4;
  ip.ttl = 64;
  ip.protocol = IPPROTO_UDP;
  ip.tot_len = htons(static_cast<uint16_t>(sizeof ip + length));
  ip.saddr = datagram.source();
  ip.daddr = to.sin_addr.s_addr;
  udphdr udp = {};
  udp.source = htons(static_cast<uint16_t>(datagram.source_port()));
  udp.dest = to.sin_port;
  udp.len = htons(static_cast<uint16_t>(length));
  std::vector<std::byte> packet(sizeof ip + length);
  std::memcpy(packet.data(), &ip, sizeof ip);
  std::memcpy(packet.data() + sizeof ip, &udp, sizeof udp);
  std::memcpy(packet.data() + sizeof ip + sizeof udp, datagram.data().data(),
              datagram.data().size());
  return packet;
}

}  // namespace

Status PeekDatagrams(const UniqueFd& socket, size_t limit_bytes, attributes::Socket& described) {
  // Cheap, and nearly always the end of it.
  char one;
  if (::recv(socket.get(), &one, 0, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN) return {};
  const PeekFromStart from_start(socket);
  if (!from_start.ok()) return FailErrno("looking at queued datagrams");
  std::vector<char> data(kLargestDatagram);
  size_t total = 0;
  while (true) {
    sockaddr_storage from = {};
    socklen_t size = sizeof from;
    const ssize_t got = ::recvfrom(socket.get(), data.data(), data.size(), MSG_PEEK | MSG_DONTWAIT,
                                   reinterpret_cast<sockaddr*>(&from), &size);
    if (got < 0 && errno == EAGAIN) return {};
    if (got < 0) return FailErrno("looking at queued datagrams");
    const auto source = AsIpv4(from);
    if (!source)
      return Fail(Code::kUnsupported, "datagrams wait there that came by IPv6; they are not saved");
    total += static_cast<size_t>(got);
    // An empty one does not move the offset, and would be seen for ever.
    if (got == 0 || total > limit_bytes)
      return Fail(Code::kUnsupported,
                  got == 0
                      ? "a datagram of no length waits there, which is not saved"
                      : fmt::format("more than {} bytes of datagrams wait there", limit_bytes));
    attributes::Datagram& datagram = *described.add_datagrams();
    datagram.set_source(source->sin_addr.s_addr);
    datagram.set_source_port(ntohs(source->sin_port));
    datagram.set_data(data.data(), static_cast<size_t>(got));
  }
}

Status SendAgain(const UniqueFd& socket, const attributes::Socket& saved) {
  sockaddr_storage bound = {};
  socklen_t size = sizeof bound;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0)
    return FailErrno("finding where datagrams were sent to");
  auto to = AsIpv4(bound);
  if (!to) return Fail(Code::kCorrupt, "datagrams of IPv4 belong to a socket of IPv6");
  if (to->sin_addr.s_addr == INADDR_ANY) to->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const UniqueFd raw(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (!raw.valid()) return FailErrno("opening a raw socket");
  for (const attributes::Datagram& datagram : saved.datagrams()) {
    const std::vector<std::byte> packet = MakePacket(datagram, *to);
    if (::sendto(raw.get(), packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&*to),
                 sizeof *to) < 0)
      return FailErrno("putting queued datagrams back");
  }
  return {};
}

}  // namespace holdfast::warden
