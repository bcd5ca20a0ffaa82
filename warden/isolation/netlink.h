// libnl's objects with owners, and the few requests that a pod's interfaces need. Errors name the
// operation.
#pragma once

#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/route.h>

#include <memory>
#include <string>

#include "base/deleter.h"
#include "base/result.h"

namespace holdfast::warden {

using NlSocket = std::unique_ptr<nl_sock, Deleter<nl_socket_free>>;
using NlLink = std::unique_ptr<rtnl_link, Deleter<rtnl_link_put>>;
using NlAddr = std::unique_ptr<nl_addr, Deleter<nl_addr_put>>;
using NlIfAddr = std::unique_ptr<rtnl_addr, Deleter<rtnl_addr_put>>;
using NlNeigh = std::unique_ptr<rtnl_neigh, Deleter<rtnl_neigh_put>>;
using NlMessage = std::unique_ptr<nl_msg, Deleter<nlmsg_free>>;
using NlRoute = std::unique_ptr<rtnl_route, Deleter<rtnl_route_put>>;

// kConflict if there is one already.
Status NlCheck(int nl_error, const std::string& operation);
// Bound to the network namespace that the calling thread is in.
Result<NlSocket> NlConnect();
Result<NlAddr> NlAddress(const std::string& text, int family);
// The index of an interface of the namespace that the calling thread is in.
Result<int> InterfaceIndex(const std::string& name);
// Every address of a pod is fixed and IPv4; an IPv6 address would be one more thing that somebody
// may learn. For an interface of the namespace that the calling thread is in.
Status DisableIpv6(const std::string& interface);
// `mtu` 0: as it is.
Status BringUp(nl_sock* socket, int index, unsigned mtu = 0);

}  // namespace holdfast::warden
