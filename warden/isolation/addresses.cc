#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>

#include "warden/isolation/network.h"

namespace holdfast::warden {
namespace {

struct Subnet {
  uint32_t base = 0;  // host byte order
  unsigned prefix_bits = 0;
};

Result<Subnet> ParseSubnet(const std::string& text) {
  const size_t slash = text.find('/');
  Subnet subnet;
  in_addr address{};
  const auto invalid = [&] {
    return Fail(Code::kInvalid,
                fmt::format("subnet {}: an IPv4 network such as 198.18.0.0/16 is needed", text));
  };
  if (slash == std::string::npos) return invalid();
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + slash + 1, end, subnet.prefix_bits);
  if (error != std::errc() || stop != end || subnet.prefix_bits < 1 || subnet.prefix_bits > 30 ||
      ::inet_pton(AF_INET, text.substr(0, slash).c_str(), &address) != 1)
    return invalid();
  subnet.base = ntohl(address.s_addr) & ~(0xffffffffU >> subnet.prefix_bits);
  return subnet;
}

}  // namespace

Result<std::string> PodAddress(const std::string& subnet, uint32_t pod) {
  HOLDFAST_TRY(const Subnet parsed, ParseSubnet(subnet));
  // The first address is the network's, the last its broadcast address.
  const uint32_t last = 0xffffffffU >> parsed.prefix_bits;
  if (pod >= last - 1)
    return Fail(Code::kInvalid, fmt::format("subnet {} has no room for pod {}: it has {} addresses",
                                            subnet, pod, last - 1));
  const in_addr address{.s_addr = htonl(parsed.base + 1 + pod)};
  char text[INET_ADDRSTRLEN];
  ::inet_ntop(AF_INET, &address, text, sizeof text);
  return std::string(text);
}

Result<std::string> MakeHosts(const NetworkOptions& options) {
  std::string hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";
  for (const NetworkPeer& peer : options.peers) {
    HOLDFAST_TRY(const std::string address, PodAddress(options.subnet, peer.pod));
    hosts += fmt::format("{} {}\n", address, peer.hostname);
  }
  return hosts;
}

}  // namespace holdfast::warden
