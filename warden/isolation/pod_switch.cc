#include "warden/isolation/pod_switch.h"

#include <net/if.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/link/veth.h>

#include "warden/isolation/network.h"
#include "warden/isolation/network_namespace.h"

namespace holdfast::warden {
namespace {

constexpr const char* kBridgeName = "switch";
constexpr const char* kPodName = "pod";

Status CreateBridge(nl_sock* socket) {
  NlLink bridge(rtnl_link_bridge_alloc());
  if (!bridge) return Fail(Code::kInternal, "allocating a bridge");
  rtnl_link_set_name(bridge.get(), kBridgeName);
  return NlCheck(rtnl_link_add(socket, bridge.get(), NLM_F_CREATE | NLM_F_EXCL),
                 "creating a bridge");
}

Status CreatePair(nl_sock* socket, const UniqueFd& pod_namespace, nl_addr* mac, unsigned mtu) {
  NlLink near(rtnl_link_veth_alloc());
  if (!near) return Fail(Code::kInternal, "allocating a pair of interfaces");
  const NlLink far(rtnl_link_veth_get_peer(near.get()));
  rtnl_link_set_name(near.get(), kPodName);
  rtnl_link_set_mtu(near.get(), mtu);
  rtnl_link_set_name(far.get(), kJobInterface);
  rtnl_link_set_mtu(far.get(), mtu);
  rtnl_link_set_addr(far.get(), mac);
  rtnl_link_set_ns_fd(far.get(), pod_namespace.get());
  return NlCheck(rtnl_link_add(socket, near.get(), NLM_F_CREATE | NLM_F_EXCL),
                 "creating a pair of interfaces");
}

}  // namespace

Result<PodSwitch> PodSwitch::Create(const UniqueFd& pod_namespace, nl_addr* mac, unsigned mtu) {
  PodSwitch made;
  HOLDFAST_TRY(made.namespace_, MakeNetworkNamespace());
  const ScopedNetworkNamespace inside(made.namespace_);
  HOLDFAST_CHECK(inside.status());
  HOLDFAST_TRY(made.socket_, NlConnect());
  HOLDFAST_CHECK(CreateBridge(made.socket_.get()));
  HOLDFAST_CHECK(DisableIpv6(kBridgeName));
  HOLDFAST_TRY(made.bridge_, InterfaceIndex(kBridgeName));
  HOLDFAST_CHECK(BringUp(made.socket_.get(), made.bridge_));
  HOLDFAST_CHECK(CreatePair(made.socket_.get(), pod_namespace, mac, mtu));
  HOLDFAST_CHECK(DisableIpv6(kPodName));
  HOLDFAST_TRY(const int pod, InterfaceIndex(kPodName));
  HOLDFAST_CHECK(made.Attach(pod));
  return made;
}

PodSwitch::~PodSwitch() {
  if (vxlan_ == 0 || !socket_) return;
  NlLink link(rtnl_link_alloc());
  rtnl_link_set_ifindex(link.get(), vxlan_);
  rtnl_link_delete(socket_.get(), link.get());
}

Status PodSwitch::AttachVxlan() {
  const ScopedNetworkNamespace inside(namespace_);
  HOLDFAST_CHECK(inside.status());
  HOLDFAST_CHECK(DisableIpv6(kVxlanName));
  HOLDFAST_TRY(vxlan_, InterfaceIndex(kVxlanName));
  return Attach(vxlan_);
}

Status PodSwitch::Attach(int index) {
  NlLink change(rtnl_link_alloc());
  rtnl_link_set_ifindex(change.get(), index);
  rtnl_link_set_master(change.get(), bridge_);
  rtnl_link_set_flags(change.get(), IFF_UP);
  return NlCheck(rtnl_link_change(socket_.get(), change.get(), change.get(), 0),
                 "attaching an interface to a bridge");
}

}  // namespace holdfast::warden
