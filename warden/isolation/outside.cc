#include "warden/isolation/outside.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "base/files.h"
#include "warden/isolation/firewall.h"
#include "warden/isolation/netlink.h"
#include "warden/isolation/network_namespace.h"
#include "warden/isolation/outside_program.h"

namespace holdfast::warden {
namespace {

constexpr std::chrono::seconds kEndTimeout{10};

Result<UniqueFd> OpenTap() {
  constexpr const char* kDevice = "/dev/net/tun";
  HOLDFAST_TRY(UniqueFd tap, OpenFile(kDevice, O_RDWR).transform_error([](Error error) {
    return std::move(error).Wrap("modprobe tun, or set node.outside_network: none");
  }));
  ifreq request = {};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", kOutsideInterface);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (::ioctl(tap.get(), TUNSETIFF, &request) != 0)
    return FailErrno(fmt::format("making {} with {}", kOutsideInterface, kDevice));
  return tap;
}

Status AddRoute(nl_sock* socket, int index, const std::string& network, const char* gateway,
                const std::string& source) {
  HOLDFAST_TRY(const NlAddr destination, NlAddress(network, AF_INET));
  HOLDFAST_TRY(const NlAddr preferred, NlAddress(source, AF_INET));
  const NlRoute route(rtnl_route_alloc());
  rtnl_route_set_family(route.get(), AF_INET);
  rtnl_route_set_scope(route.get(), gateway == nullptr ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
  rtnl_route_set_dst(route.get(), destination.get());
  rtnl_route_set_pref_src(route.get(), preferred.get());
  rtnl_nexthop* hop = rtnl_route_nh_alloc();  // the route's, from here on
  rtnl_route_nh_set_ifindex(hop, index);
  if (gateway != nullptr) {
    HOLDFAST_TRY(const NlAddr address, NlAddress(gateway, AF_INET));
    rtnl_route_nh_set_gateway(hop, address.get());
  }
  rtnl_route_add_nexthop(route.get(), hop);
  return NlCheck(rtnl_route_add(socket, route.get(), 0), "adding the route to " + network);
}

// For the pod's whole life: unlike the cut's rules these stay.
Status Close(const std::string& networks) {
  if (networks.empty()) return {};
  HOLDFAST_TRY(Firewall firewall, Firewall::Open());
  return firewall.Run(fmt::format(
      "add table inet holdfast_closed\n"
      "add chain inet holdfast_closed out {{ type filter hook output priority filter; }}\n"
      "add rule inet holdfast_closed out oifname {} ip daddr {{ {} }} "
      "reject with icmpx type admin-prohibited\n",
      kOutsideInterface, networks));
}

Result<UniqueFd> MakeInterface(const Pod& pod, const OutsideOptions& options) {
  const ScopedNetworkNamespace inside(pod.network_namespace());
  HOLDFAST_CHECK(inside.status());
  HOLDFAST_TRY(UniqueFd tap, OpenTap());
  HOLDFAST_TRY(const NlSocket socket, NlConnect());
  HOLDFAST_TRY(const int index, InterfaceIndex(kOutsideInterface));
  HOLDFAST_CHECK(DisableIpv6(kOutsideInterface));
  HOLDFAST_CHECK(Close(options.closed));
  HOLDFAST_CHECK(BringUp(socket.get(), index, kOutsideMtu));
  HOLDFAST_CHECK(AddRoute(socket.get(), index, kOutsideNetwork, nullptr, options.source));
  HOLDFAST_CHECK(AddRoute(socket.get(), index, "0.0.0.0/0", kOutsideGateway, options.source));
  return tap;
}

}  // namespace

Result<std::unique_ptr<Outside>> Outside::Open(const Pod& pod, const OutsideOptions& options) {
  const auto open = [&]() -> Result<std::unique_ptr<Outside>> {
    HOLDFAST_TRY(const UniqueFd tap, MakeInterface(pod, options));
    HOLDFAST_TRY(const UniqueFd null, OpenFile("/dev/null", O_RDWR));
    SpawnOptions spawn;
    spawn.argv = {options.program};
    spawn.env = {{"PATH=/usr/bin:/bin", "LC_ALL=C"}};
    spawn.cwd = "/";
    spawn.identity = pod.options().owner;
    spawn.fds = {{null.get(), 0}, {null.get(), 1}, {null.get(), 2}, {tap.get(), kTapFd}};
    HOLDFAST_TRY(Process process, Process::Spawn(spawn));
    HOLDFAST_TRY(UniqueFd pod_namespace, pod.network_namespace().Duplicate());
    return std::unique_ptr<Outside>(
        new Outside(std::move(process), std::move(pod_namespace), options.subnet));
  };
  return open().transform_error(
      [](Error error) { return std::move(error).Wrap("joining the pod to the outside network"); });
}

Status Outside::EndHalfClosed() const {
  const auto end = [&]() -> Status {
    SpawnOptions spawn;
    spawn.argv = {"ss", "--kill", "--tcp"};
    for (const char* state : {"state", "connected", "exclude", "established"})
      spawn.argv.emplace_back(state);
    for (const std::string& network : {subnet_, std::string("127.0.0.0/8")})
      spawn.argv.insert(spawn.argv.end(), {"not", "dst", network});
    spawn.env = {{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}};
    spawn.namespaces = {namespace_.get()};
    HOLDFAST_TRY(const CommandOutput output, RunCommand(spawn, kEndTimeout));
    if (output.status.ok()) return {};
    return Fail(Code::kInternal, "ss " + output.status.ToString() + ": " + output.output);
  };
  return end().transform_error([](Error error) {
    return std::move(error).Wrap("ending half-closed connections with the outside");
  });
}

std::string MakeResolverConfiguration(const std::string& of_node) {
  std::string others;
  bool has_server = false;
  for (size_t at = 0; at < of_node.size();) {
    const size_t end = std::min(of_node.find('\n', at), of_node.size());
    const std::string_view line = std::string_view(of_node).substr(at, end - at);
    at = end + 1;
    if (line.starts_with("nameserver"))
      has_server = true;
    else
      others += fmt::format("{}\n", line);
  }
  return has_server ? fmt::format("nameserver {}\n{}", kOutsideResolver, others) : std::string();
}

}  // namespace holdfast::warden
