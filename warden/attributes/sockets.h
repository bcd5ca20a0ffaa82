// The part of attributes.cc that is about sockets.
#pragma once

#include <netinet/in.h>

#include <map>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "warden_images/attributes.pb.h"

namespace holdfast::warden {

// As socket(2) is given it.
struct SocketKind {
  int domain = 0, type = 0, protocol = 0;
  auto operator<=>(const SocketKind&) const = default;
};

// One that somebody in the network namespace is a member of.
struct MulticastGroup {
  std::string interface;
  in_addr_t address;
};

// Used in the pod's network namespace, as the functions below.
class SocketAttributes {
 public:
  SocketAttributes();
  // Adds the sockets of one process (its node's pid, its id in the pod) that have not been added.
  Status Describe(const std::string& process, uint32_t in_pod, attributes::Attributes& all);

 private:
  // What a socket of that kind has when it is made, in the order of the known options.
  const std::vector<std::optional<int>>& UsualOf(const SocketKind& kind);
  void DescribeOptions(const UniqueFd& socket, const SocketKind& kind,
                       attributes::Socket& described);

  const std::vector<MulticastGroup> groups_;
  std::map<SocketKind, std::vector<std::optional<int>>> usual_;
  std::unordered_set<ino_t> seen_;
};

// Gives a restored process' socket what `saved` says.
Status RestoreSocket(const std::string& process, const attributes::Socket& saved);

// Datagrams of a UDP socket, IPv4, that wait to be read: they stay where they are. kUnsupported if
// there are more than `limit_bytes`, or if they came by IPv6.
Status PeekDatagrams(const UniqueFd& socket, size_t limit_bytes, attributes::Socket& described);
// Sends them again, as from where they came.
Status SendAgain(const UniqueFd& socket, const attributes::Socket& saved);

}  // namespace holdfast::warden
