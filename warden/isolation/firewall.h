// Packet filter rules of the network namespace the calling thread is in, through libnftables.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

struct nft_ctx;

namespace holdfast::warden {

class Firewall {
 public:
  // Bound to the calling thread's network namespace from now on.
  static Result<Firewall> Open();
  // Commands of nft(8), all or none of them.
  Status Run(const std::string& commands);

 private:
  struct Closer {
    void operator()(nft_ctx* context) const;
  };
  explicit Firewall(std::unique_ptr<nft_ctx, Closer> context) : context_(std::move(context)) {}
  std::unique_ptr<nft_ctx, Closer> context_;
};

// Makes this node drop what arrives at the UDP port of job networks from an unprivileged source
// port, where any user could have sent it from. Stays in the kernel: other jobs need it too, and
// without jobs it does no harm. Refused (kUnsupported) on a node that lets users bind privileged
// ports.
Status GuardVxlanPort(uint16_t port);

}  // namespace holdfast::warden
