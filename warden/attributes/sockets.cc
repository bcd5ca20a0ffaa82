#include "warden/attributes/sockets.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/udp.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <sstream>
#include <vector>

#include "base/files.h"
#include "base/log.h"
#include "base/numbers.h"

namespace holdfast::warden {
namespace {

// Of datagrams in one socket. A socket that nobody reads holds no more, unless its program has
// raised SO_RCVBUF far beyond what is usual.
constexpr size_t kDatagramLimit = size_t{8} << 20;

struct KnownOption {
  int level;
  int name;
};
// Options with an int for their value that CRIU 4.2 leaves as they are in a new socket (its
// sockets.c, sk-inet.c, sk-tcp.c and images/sk-opts.proto have those that it keeps).
constexpr KnownOption kOptions[] = {
    {SOL_SOCKET, SO_TIMESTAMP},
    {SOL_SOCKET, SO_TIMESTAMPNS},
    {SOL_SOCKET, SO_TIMESTAMPING},
    {SOL_SOCKET, SO_RXQ_OVFL},
    {SOL_SOCKET, SO_ZEROCOPY},
    {SOL_SOCKET, SO_BUSY_POLL},
    {SOL_SOCKET, SO_SELECT_ERR_QUEUE},
    {SOL_SOCKET, SO_RCVLOWAT},
    {SOL_SOCKET, SO_PRIORITY},
    {SOL_SOCKET, SO_BROADCAST},
    {IPPROTO_TCP, TCP_USER_TIMEOUT},
    {IPPROTO_TCP, TCP_SYNCNT},
    {IPPROTO_TCP, TCP_LINGER2},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
    {IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS},
    {IPPROTO_TCP, TCP_INQ},
    {IPPROTO_IP, IP_TOS},
    {IPPROTO_IP, IP_TTL},
    {IPPROTO_IP, IP_PKTINFO},
    {IPPROTO_IP, IP_RECVTTL},
    {IPPROTO_IP, IP_RECVTOS},
    {IPPROTO_IP, IP_RECVERR},
    {IPPROTO_IP, IP_RECVORIGDSTADDR},
    {IPPROTO_IP, IP_MTU_DISCOVER},
    {IPPROTO_IP, IP_MINTTL},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
    {IPPROTO_IP, IP_MULTICAST_TTL},
    {IPPROTO_IP, IP_MULTICAST_LOOP},
    {IPPROTO_IP, IP_MULTICAST_ALL},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS},
    {IPPROTO_IPV6, IPV6_MULTICAST_HOPS},
    {IPPROTO_IPV6, IPV6_MULTICAST_LOOP},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO},
    {IPPROTO_IPV6, IPV6_RECVHOPLIMIT},
    {IPPROTO_IPV6, IPV6_RECVTCLASS},
    {IPPROTO_IPV6, IPV6_RECVERR},
    {IPPROTO_IPV6, IPV6_TCLASS},
    {IPPROTO_IPV6, IPV6_DONTFRAG},
    {IPPROTO_UDP, UDP_SEGMENT},
    {IPPROTO_UDP, UDP_GRO},
};

std::optional<int> Get(const UniqueFd& socket, int level, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(socket.get(), level, name, &value, &size) != 0) return std::nullopt;
  return value;
}

SocketKind KindOf(const UniqueFd& socket) {
  return {.domain = Get(socket, SOL_SOCKET, SO_DOMAIN).value_or(0),
          .type = Get(socket, SOL_SOCKET, SO_TYPE).value_or(0),
          .protocol = Get(socket, SOL_SOCKET, SO_PROTOCOL).value_or(0)};
}
bool IsInet(const SocketKind& kind) { return kind.domain == AF_INET || kind.domain == AF_INET6; }

Result<UniqueFd> Borrow(const UniqueFd& process, int descriptor) {
  UniqueFd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), descriptor, 0)));
  if (!copy.valid()) return FailErrno(fmt::format("reaching descriptor {}", descriptor));
  return copy;
}

Result<UniqueFd> OpenProcess(const std::string& process) {
  UniqueFd opened(
      static_cast<int>(::syscall(SYS_pidfd_open, ParseNumber<pid_t>(process).value_or(-1), 0)));
  if (!opened.valid()) return FailErrno("opening process " + process);
  return opened;
}

// The groups that anybody here is a member of: interface and address, from /proc/net/igmp, whose
// lines are "2\teth0      :     1      V3" and below them "\t\t\t\tFB0000E0     1 0:00000000 0".
std::vector<MulticastGroup> GroupsHere() {
  std::vector<MulticastGroup> groups;
  std::istringstream lines(ReadFile("/proc/thread-self/net/igmp").value_or(""));
  std::string interface;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string first, second;
    words >> first >> second;
    if (!line.starts_with('\t'))
      interface = second;
    else if (first.size() == 8)
      groups.push_back(
          {interface, static_cast<in_addr_t>(std::strtoul(first.c_str(), nullptr, 16))});
  }
  return groups;
}

// No call lists the groups of a socket, but one that is not a member has no filter for a group.
bool IsMember(const UniqueFd& socket, const MulticastGroup& group) {
  group_filter filter = {};
  socklen_t size = sizeof filter;
  filter.gf_interface = ::if_nametoindex(group.interface.c_str());
  auto& address = reinterpret_cast<sockaddr_in&>(filter.gf_group);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = group.address;
  return ::getsockopt(socket.get(), IPPROTO_IP, MCAST_MSFILTER, &filter, &size) == 0;
}

Status Join(const UniqueFd& socket, const attributes::Membership& membership) {
  ip_mreqn request = {};
  request.imr_multiaddr.s_addr = membership.group();
  request.imr_ifindex = static_cast<int>(::if_nametoindex(membership.interface().c_str()));
  if (::setsockopt(socket.get(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request) == 0 ||
      errno == EADDRINUSE)
    return {};
  return FailErrno("joining a multicast group on " + membership.interface());
}

void RestoreOption(const UniqueFd& socket, const attributes::Option& option) {
  const int level = static_cast<int>(option.level()), name = static_cast<int>(option.name());
  const int value = option.value();
  if (Get(socket, level, name) == value) return;
  // An option that this kernel does not have is no reason not to restore a job.
  if (::setsockopt(socket.get(), level, name, &value, sizeof value) != 0)
    log::Failure("socket-option", Error::Errno(fmt::format("option {} of level {}", name, level)));
}

}  // namespace

SocketAttributes::SocketAttributes() : groups_(GroupsHere()) {}

const std::vector<std::optional<int>>& SocketAttributes::UsualOf(const SocketKind& kind) {
  std::vector<std::optional<int>>& usual = usual_[kind];
  if (!usual.empty()) return usual;
  const UniqueFd fresh(::socket(kind.domain, kind.type | SOCK_CLOEXEC, kind.protocol));
  for (const KnownOption& option : kOptions)
    usual.push_back(fresh.valid() ? Get(fresh, option.level, option.name) : std::nullopt);
  return usual;
}

void SocketAttributes::DescribeOptions(const UniqueFd& socket, const SocketKind& kind,
                                       attributes::Socket& described) {
  const auto& usual = UsualOf(kind);
  for (size_t i = 0; i < std::size(kOptions); ++i) {
    const auto value = Get(socket, kOptions[i].level, kOptions[i].name);
    if (!value || value == usual[i]) continue;
    attributes::Option& saved = *described.add_options();
    saved.set_level(static_cast<uint32_t>(kOptions[i].level));
    saved.set_name(static_cast<uint32_t>(kOptions[i].name));
    saved.set_value(*value);
  }
}

Status SocketAttributes::Describe(const std::string& process, uint32_t in_pod,
                                  attributes::Attributes& all) {
  const auto descriptors = ListDirectory("/proc/" + process + "/fd");
  if (!descriptors) return {};  // it has ended
  UniqueFd opened;
  for (const std::string& name : *descriptors) {
    struct stat info = {};
    if (::stat(("/proc/" + process + "/fd/" + name).c_str(), &info) != 0 ||
        !S_ISSOCK(info.st_mode) || !seen_.insert(info.st_ino).second)
      continue;
    if (!opened.valid()) {
      HOLDFAST_TRY(opened, OpenProcess(process));
    }
    const int descriptor = ParseNumber<int>(name).value_or(-1);
    HOLDFAST_TRY(const UniqueFd socket, Borrow(opened, descriptor));
    const SocketKind kind = KindOf(socket);
    if (!IsInet(kind)) continue;
    attributes::Socket described;
    described.set_process(in_pod);
    described.set_descriptor(static_cast<uint32_t>(descriptor));
    DescribeOptions(socket, kind, described);
    if (kind.type != SOCK_STREAM)
      for (const MulticastGroup& group : groups_)
        if (IsMember(socket, group)) {
          attributes::Membership& membership = *described.add_memberships();
          membership.set_interface(group.interface);
          membership.set_group(group.address);
        }
    if (kind.protocol == IPPROTO_UDP)
      HOLDFAST_CHECK(
          PeekDatagrams(socket, kDatagramLimit, described).transform_error([&](Error error) {
            return std::move(error).Wrap(fmt::format("process {}, descriptor {}", in_pod, name));
          }));
    if (described.options_size() + described.memberships_size() + described.datagrams_size() > 0)
      *all.add_sockets() = std::move(described);
  }
  return {};
}

Status RestoreSocket(const std::string& process, const attributes::Socket& saved) {
  HOLDFAST_TRY(const UniqueFd opened, OpenProcess(process));
  HOLDFAST_TRY(const UniqueFd socket, Borrow(opened, static_cast<int>(saved.descriptor())));
  for (const attributes::Option& option : saved.options()) RestoreOption(socket, option);
  for (const attributes::Membership& membership : saved.memberships())
    HOLDFAST_CHECK(Join(socket, membership));
  return saved.datagrams().empty() ? Status() : SendAgain(socket, saved);
}

}  // namespace holdfast::warden
