#include "warden/isolation/netlink.h"

#include <fmt/format.h>
#include <net/if.h>

#include "base/files.h"

namespace holdfast::warden {

Status NlCheck(int nl_error, const std::string& operation) {
  if (nl_error >= 0) return {};
  return Fail(nl_error == -NLE_EXIST ? Code::kConflict : Code::kInternal,
              operation + ": " + nl_geterror(nl_error));
}

Result<NlSocket> NlConnect() {
  NlSocket socket(nl_socket_alloc());
  if (!socket) return Fail(Code::kInternal, "allocating a netlink socket");
  HOLDFAST_CHECK(NlCheck(nl_connect(socket.get(), NETLINK_ROUTE), "connecting to rtnetlink"));
  return socket;
}

Result<NlAddr> NlAddress(const std::string& text, int family) {
  nl_addr* address = nullptr;
  HOLDFAST_CHECK(NlCheck(nl_addr_parse(text.c_str(), family, &address), "address " + text));
  return NlAddr(address);
}

Result<int> InterfaceIndex(const std::string& name) {
  const unsigned index = ::if_nametoindex(name.c_str());
  if (index == 0) return FailErrno("finding interface " + name);
  return static_cast<int>(index);
}

Status DisableIpv6(const std::string& interface) {
  const std::string path = fmt::format("/proc/sys/net/ipv6/conf/{}/disable_ipv6", interface);
  return FileExists(path) ? WriteFile(path, "1") : Status();
}

Status BringUp(nl_sock* socket, int index, unsigned mtu) {
  NlLink change(rtnl_link_alloc());
  rtnl_link_set_ifindex(change.get(), index);
  rtnl_link_set_flags(change.get(), IFF_UP);
  if (mtu != 0) rtnl_link_set_mtu(change.get(), mtu);
  return NlCheck(rtnl_link_change(socket, change.get(), change.get(), 0),
                 fmt::format("bringing up interface {}", index));
}

}  // namespace holdfast::warden
