#include "pod/pod_directory.h"

#include <arpa/inet.h>

namespace holdfast::pod {

std::string SerializePeers(const std::vector<Peer>& peers) {
  std::string text;
  for (const Peer& peer : peers) text += peer.address + " " + peer.hostname + "\n";
  return text;
}

Result<std::vector<Peer>> ParsePeers(std::string_view text) {
  std::vector<Peer> peers;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    const size_t space = line.find(' ');
    if (line.size() == text.size() || space == std::string_view::npos || space + 1 == line.size())
      return Fail(Code::kCorrupt, "the list of pods is malformed: " + std::string(line));
    Peer peer{.address = std::string(line.substr(0, space)),
              .hostname = std::string(line.substr(space + 1))};
    in_addr address;
    if (::inet_pton(AF_INET, peer.address.c_str(), &address) != 1)
      return Fail(Code::kCorrupt, "the list of pods has no IPv4 address in: " + std::string(line));
    peers.push_back(std::move(peer));
    text.remove_prefix(line.size() + 1);
  }
  return peers;
}

std::vector<std::string> PodRootArguments(uint32_t pod) {
  return {kPodRootPath, std::to_string(pod)};
}

}  // namespace holdfast::pod
