// A pod's way to the world outside of its job: an interface `out0` whose packets holdfast-outside,
// an ordinary program of the job's user on the node, turns into connections of its own. So a pod
// reaches what its user reaches from the node, and nothing more, and the node forwards no packets.
// docs/adr/0028-the-outside-by-a-program-of-the-user.md
//
// Nothing of it is saved: connections to the outside end with a move. The cut of a save takes in
// this interface too (network.h).
#pragma once

#include <memory>
#include <string>

#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

inline constexpr const char* kOutsideInterface = "out0";

struct OutsideOptions {
  std::string source;  // the pod's address in its job's network: it never changes
  std::string subnet;  // that network
  std::string closed;  // networks that the pod is to be refused: A.B.C.D/N, with commas
  std::string program = HOLDFAST_LIBEXEC "/holdfast-outside";
};

class Outside {
 public:
  // Gives the pod the interface and a default route, with `source` as its packets' address: one
  // that connections can be bound to again wherever the pod is restored. The pod's job network must
  // be there. Called in the node's network namespace; not thread-safe with itself.
  static Result<std::unique_ptr<Outside>> Open(const Pod& pod, const OutsideOptions& options);

  // Ends connections that a restored pod has with the outside and that one side had closed already.
  // All others send a probe when they go on (TCP_REPAIR in net/ipv4/tcp.c), and it is answered with
  // a reset; these would wait for ever. For before the un-cut.
  Status EndHalfClosed() const;

 private:
  Outside(Process process, UniqueFd pod_namespace, std::string subnet)
      : process_(std::move(process)),
        namespace_(std::move(pod_namespace)),
        subnet_(std::move(subnet)) {}
  Process process_;  // the interface goes when it ends
  UniqueFd namespace_;
  std::string subnet_;
};

// The pod's /etc/resolv.conf: the node's, with a server that passes on to the node's. Empty if the
// node names none.
std::string MakeResolverConfiguration(const std::string& of_node);

}  // namespace holdfast::warden
