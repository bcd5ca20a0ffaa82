#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <sstream>

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

// A line of hosts(5) without its comment and the names of peers; empty if no name is left, or if it
// means the node itself.
std::string WithoutNames(const std::string& line, const std::vector<NetworkPeer>& peers) {
  std::istringstream words(line.substr(0, line.find('#')));
  std::string address, names;
  words >> address;
  for (std::string name; words >> name;) {
    if (!std::ranges::contains(peers, name, &NetworkPeer::hostname)) names += " " + name;
  }
  const bool is_node = address.starts_with("127.") || address == "::1";
  return names.empty() || is_node ? std::string() : address + names;
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

Result<std::string> MakeHosts(const NetworkOptions& options, const std::string& others) {
  std::string hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";
  for (const NetworkPeer& peer : options.peers) {
    HOLDFAST_TRY(const std::string address, PodAddress(options.subnet, peer.pod));
    hosts += fmt::format("{} {}\n", address, peer.hostname);
  }
  std::istringstream lines(others);
  for (std::string line; std::getline(lines, line);) {
    const std::string kept = WithoutNames(line, options.peers);
    if (!kept.empty()) hosts += kept + "\n";
  }
  return hosts;
}

}  // namespace holdfast::warden
