// The part of attributes.cc that is about sockets.
#pragma once

#include <string>
#include <unordered_set>

#include "base/result.h"
#include "base/unique_fd.h"
#include "warden/isolation/pod.h"
#include "warden_images/attributes.pb.h"

namespace holdfast::warden {

class SocketAttributes {
 public:
  explicit SocketAttributes(const Pod& pod) : pod_(pod) {}
  // Adds the sockets of one process (its node's pid, its id in the pod) that have not been added.
  Status Describe(const std::string& process, uint32_t in_pod, attributes::Attributes& all);
  Status Restore(const std::string& process, const attributes::Socket& saved) const;

 private:
  const Pod& pod_;
  std::unordered_set<ino_t> seen_;
};

// Datagrams of a UDP socket, IPv4, that wait to be read: they stay where they are. kUnsupported if
// there are more than `limit_bytes`, or if they came by IPv6.
Status PeekDatagrams(const UniqueFd& socket, size_t limit_bytes, attributes::Socket& described);
// Sends them again, as from where they came. Called in the socket's network namespace.
Status SendAgain(const UniqueFd& socket, const attributes::Socket& saved);

}  // namespace holdfast::warden
