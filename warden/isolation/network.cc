#include "warden/isolation/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <net/if.h>
#include <netdb.h>
#include <netlink/route/link/vxlan.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string_view>
#include <thread>

#include "base/deleter.h"
#include "base/files.h"
#include "warden/isolation/firewall.h"
#include "warden/isolation/netlink.h"
#include "warden/isolation/network_namespace.h"
#include "warden/isolation/pod_switch.h"

namespace holdfast::warden {
namespace {

using std::chrono::seconds;

// A pod that was killed while cut keeps its namespace, and with it the VNI, until its orphaned
// sockets have given up.
constexpr seconds kVniTimeout{10};

// Locally administered, and the same wherever the pod is: a peer's neighbour table is part of what
// never changes.
NlAddr MacAddress(uint32_t pod) {
  const std::array<unsigned char, 6> mac{0x02,
                                         0x48,
                                         0x46,
                                         static_cast<unsigned char>(pod >> 16),
                                         static_cast<unsigned char>(pod >> 8),
                                         static_cast<unsigned char>(pod)};
  return NlAddr(nl_addr_build(AF_LLC, mac.data(), mac.size()));
}

// Pods of one node cannot share a VXLAN's number there: each slot has its own.
uint32_t VniOf(const NetworkOptions& options, const NetworkPeer& peer) {
  return (options.vni + (peer.slot << kVniSlotShift)) & 0xffffff;
}

// As `name` in that namespace, with the pod's address if it is to be the pod's own interface.
Status CreateVxlan(nl_sock* node_socket, const NetworkOptions& options, const NetworkPeer& self,
                   std::string_view name, const UniqueFd& where) {
  NlLink link(rtnl_link_vxlan_alloc());
  if (!link) return Fail(Code::kInternal, "allocating a link");
  HOLDFAST_TRY(const NlAddr local, NlAddress(options.local_address, AF_INET));
  const uint32_t vni = VniOf(options, self);
  ifla_vxlan_port_range source_ports{.low = htons(kFirstSourcePort),
                                     .high = htons(kLastSourcePort)};
  const NlAddr mac = MacAddress(self.pod);
  rtnl_link_set_name(link.get(), std::string(name).c_str());
  rtnl_link_set_mtu(link.get(), options.mtu);
  if (name == kJobInterface) rtnl_link_set_addr(link.get(), mac.get());
  rtnl_link_set_ns_fd(link.get(), where.get());
  rtnl_link_vxlan_set_id(link.get(), vni);
  rtnl_link_vxlan_set_port(link.get(), options.port);
  rtnl_link_vxlan_set_local(link.get(), local.get());
  rtnl_link_vxlan_set_port_range(link.get(), &source_ports);
  rtnl_link_vxlan_set_udp_csum(link.get(), 1);
  rtnl_link_vxlan_disable_learning(link.get());

  const std::string operation = fmt::format("creating VXLAN {} on port {}", vni, options.port);
  const auto deadline = std::chrono::steady_clock::now() + kVniTimeout;
  while (true) {
    // The socket's namespace is where the packets leave, wherever the device itself appears.
    Status added =
        NlCheck(rtnl_link_add(node_socket, link.get(), NLM_F_CREATE | NLM_F_EXCL), operation);
    if (added || added.error().code() != Code::kConflict ||
        std::chrono::steady_clock::now() > deadline)
      return added;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

Status AddAddress(nl_sock* socket, int index, uint32_t pod, const NetworkOptions& options) {
  HOLDFAST_TRY(std::string text, PodAddress(options.subnet, pod));
  text += options.subnet.substr(options.subnet.find('/'));
  HOLDFAST_TRY(const NlAddr local, NlAddress(text, AF_INET));
  NlIfAddr address(rtnl_addr_alloc());
  rtnl_addr_set_ifindex(address.get(), index);
  rtnl_addr_set_local(address.get(), local.get());
  return NlCheck(rtnl_addr_add(socket, address.get(), 0), "giving the pod address " + text);
}

Status AddNeighbour(nl_sock* socket, int index, const NetworkOptions& options,
                    const NetworkPeer& peer) {
  HOLDFAST_TRY(const std::string text, PodAddress(options.subnet, peer.pod));
  HOLDFAST_TRY(const NlAddr address, NlAddress(text, AF_INET));
  const NlAddr mac = MacAddress(peer.pod);
  NlNeigh neighbour(rtnl_neigh_alloc());
  rtnl_neigh_set_ifindex(neighbour.get(), index);
  rtnl_neigh_set_dst(neighbour.get(), address.get());
  rtnl_neigh_set_lladdr(neighbour.get(), mac.get());
  rtnl_neigh_set_state(neighbour.get(), NUD_PERMANENT);
  rtnl_neigh_set_family(neighbour.get(), AF_INET);
  return NlCheck(rtnl_neigh_add(socket, neighbour.get(), NLM_F_CREATE | NLM_F_REPLACE),
                 fmt::format("adding peer {}", peer.pod));
}

// The VXLAN sends what is for that peer to its node, with its number. libnl has no VNI for it.
Status AddForwarding(nl_sock* socket, int index, const NetworkOptions& options,
                     const NetworkPeer& peer) {
  HOLDFAST_TRY(const NlAddr node, NlAddress(peer.node_address, AF_INET));
  const NlAddr mac = MacAddress(peer.pod);
  NlMessage message(nlmsg_alloc_simple(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE));
  const ndmsg entry{.ndm_family = AF_BRIDGE,
                    .ndm_ifindex = index,
                    .ndm_state = NUD_PERMANENT,
                    .ndm_flags = NTF_SELF};
  if (!message || nlmsg_append(message.get(), const_cast<ndmsg*>(&entry), sizeof entry, 0) < 0 ||
      nla_put_addr(message.get(), NDA_LLADDR, mac.get()) < 0 ||
      nla_put_addr(message.get(), NDA_DST, node.get()) < 0 ||
      nla_put_u32(message.get(), NDA_VNI, VniOf(options, peer)) < 0)
    return Fail(Code::kInternal, "allocating a forwarding entry");
  return NlCheck(nl_send_sync(socket, message.release()),
                 fmt::format("adding peer {} at {}", peer.pod, peer.node_address));
}

// Whether another pod of the job is on this node.
bool SharesNode(const NetworkOptions& options, const NetworkPeer& self) {
  return std::ranges::any_of(options.peers, [&](const NetworkPeer& peer) {
    return peer.pod != self.pod && peer.node_address == self.node_address;
  });
}

class VxlanNetwork final : public JobNetwork {
 public:
  VxlanNetwork(UniqueFd pod_namespace, NlSocket socket, Firewall firewall)
      : namespace_(std::move(pod_namespace)),
        socket_(std::move(socket)),
        firewall_(std::move(firewall)) {}

  ~VxlanNetwork() override {
    NlLink link(rtnl_link_alloc());
    rtnl_link_set_name(link.get(), kJobInterface);
    rtnl_link_delete(socket_.get(), link.get());  // it may never have been created
  }

  Status SetUp(nl_sock* node_socket, const NetworkOptions& options, const NetworkPeer& self) {
    HOLDFAST_CHECK(Cut());
    if (SharesNode(options, self)) {
      const NlAddr mac = MacAddress(self.pod);
      HOLDFAST_TRY(switch_, PodSwitch::Create(namespace_, mac.get(), options.mtu));
      HOLDFAST_CHECK(CreateVxlan(node_socket, options, self, PodSwitch::kVxlanName,
                                 switch_->network_namespace()));
      HOLDFAST_CHECK(switch_->AttachVxlan());
    } else {
      HOLDFAST_CHECK(CreateVxlan(node_socket, options, self, kJobInterface, namespace_));
    }
    const ScopedNetworkNamespace inside(namespace_);
    HOLDFAST_CHECK(inside.status());
    HOLDFAST_CHECK(DisableIpv6(kJobInterface));
    HOLDFAST_TRY(const int index, InterfaceIndex(kJobInterface));
    HOLDFAST_CHECK(AddAddress(socket_.get(), index, self.pod, options));
    HOLDFAST_CHECK(BringUp(socket_.get(), index));
    // Nothing is asked or learned on the network: who has which address, and on which node that
    // is, is all known beforehand.
    for (const NetworkPeer& peer : options.peers) {
      if (peer.pod == self.pod) continue;
      HOLDFAST_CHECK(AddNeighbour(socket_.get(), index, options, peer));
      HOLDFAST_CHECK(switch_ ? AddForwarding(switch_->socket(), switch_->vxlan(), options, peer)
                             : AddForwarding(socket_.get(), index, options, peer));
    }
    return {};
  }

  // One transaction of the kernel: when it returns, every packet after it is dropped.
  Status Cut() override {
    return Filter(
        "add table inet holdfast\n"
        "add chain inet holdfast in { type filter hook input priority raw; }\n"
        "add chain inet holdfast out { type filter hook output priority raw; }\n"
        "flush table inet holdfast\n"
        "add rule inet holdfast in iifname != lo drop\n"
        "add rule inet holdfast out oifname != lo drop\n");
  }

  Status Uncut() override {
    return Filter("add table inet holdfast\ndelete table inet holdfast\n");
  }

 private:
  Status Filter(const std::string& commands) {
    const ScopedNetworkNamespace inside(namespace_);
    HOLDFAST_CHECK(inside.status());
    return firewall_.Run(commands);
  }

  UniqueFd namespace_;
  NlSocket socket_;    // in the pod's namespace
  Firewall firewall_;  // likewise
  std::optional<PodSwitch> switch_;
};

}  // namespace

Result<std::unique_ptr<JobNetwork>> JobNetwork::Create(const Pod& pod,
                                                       const NetworkOptions& options) {
  const auto create = [&]() -> Result<std::unique_ptr<JobNetwork>> {
    HOLDFAST_CHECK(GuardVxlanPort(options.port));
    HOLDFAST_TRY(const NlSocket node_socket, NlConnect());
    HOLDFAST_TRY(UniqueFd pod_namespace, pod.network_namespace().Duplicate());
    std::unique_ptr<VxlanNetwork> network;
    {
      const ScopedNetworkNamespace inside(pod_namespace);
      HOLDFAST_CHECK(inside.status());
      HOLDFAST_TRY(NlSocket pod_socket, NlConnect());
      HOLDFAST_TRY(Firewall firewall, Firewall::Open());
      HOLDFAST_TRY(UniqueFd own, pod_namespace.Duplicate());
      network = std::make_unique<VxlanNetwork>(std::move(own), std::move(pod_socket),
                                               std::move(firewall));
    }
    const auto self = std::ranges::find(options.peers, pod.options().index, &NetworkPeer::pod);
    if (self == options.peers.end()) return Fail(Code::kInternal, "the pod is not among its peers");
    HOLDFAST_CHECK(network->SetUp(node_socket.get(), options, *self));
    return network;
  };
  return create().transform_error(
      [](Error error) { return std::move(error).Wrap("creating the job's network"); });
}

Result<Underlay> FindUnderlay(const std::string& host, uint16_t port) {
  const addrinfo hints{.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM};
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found))
    return Fail(Code::kUnavailable,
                fmt::format("looking up coordinator {}: {}", host, ::gai_strerror(error)));
  const std::unique_ptr<addrinfo, Deleter<::freeaddrinfo>> coordinator(found);
  // Connecting a datagram socket sends nothing; it picks the route.
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in local = {};
  socklen_t length = sizeof local;
  if (!socket.valid() ||
      ::connect(socket.get(), coordinator->ai_addr, coordinator->ai_addrlen) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&local), &length) != 0)
    return FailErrno("finding the way to coordinator " + host);

  ifaddrs* interfaces = nullptr;
  if (::getifaddrs(&interfaces) != 0) return FailErrno("listing network interfaces");
  const std::unique_ptr<ifaddrs, Deleter<::freeifaddrs>> list(interfaces);
  for (const ifaddrs* entry = interfaces; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET) continue;
    const auto* address = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
    if (address->sin_addr.s_addr != local.sin_addr.s_addr) continue;
    ifreq request = {};
    std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", entry->ifa_name);
    if (::ioctl(socket.get(), SIOCGIFMTU, &request) != 0)
      return FailErrno(fmt::format("reading the MTU of {}", entry->ifa_name));
    char text[INET_ADDRSTRLEN];
    ::inet_ntop(AF_INET, &local.sin_addr, text, sizeof text);
    return Underlay{.address = text, .mtu = static_cast<unsigned>(request.ifr_mtu)};
  }
  return Fail(Code::kNotFound, "finding the interface towards coordinator " + host);
}

}  // namespace holdfast::warden
