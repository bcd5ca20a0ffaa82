// What is between a pod and its VXLAN on a node that has other pods of the job too: hf0 is one end
// of a pair there, and a bridge joins its other end with the VXLAN, all in a network namespace
// that nothing else is in.
//
// For between two VXLANs of one node the kernel does not send packets but hands them over
// (encap_bypass_if_local in drivers/net/vxlan), together with the route that they took in the
// namespace they come from; the other one drops them. A packet that goes through a pair has no
// route any more.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"
#include "warden/isolation/netlink.h"

namespace holdfast::warden {

class PodSwitch {
 public:
  static constexpr const char* kVxlanName = "vxlan";

  // Makes hf0 in the pod, with that address. What is left of it ends with the switch.
  static Result<PodSwitch> Create(const UniqueFd& pod_namespace, nl_addr* mac, unsigned mtu);
  ~PodSwitch();  // deletes the VXLAN, so that its number is free on this node
  PodSwitch(PodSwitch&&) = default;
  PodSwitch& operator=(PodSwitch&&) = default;

  // Where the VXLAN is to be created, as kVxlanName.
  const UniqueFd& network_namespace() const { return namespace_; }
  Status AttachVxlan();
  // Once it is attached.
  int vxlan() const { return vxlan_; }
  nl_sock* socket() const { return socket_.get(); }

 private:
  PodSwitch() = default;
  Status Attach(int index);

  UniqueFd namespace_;
  NlSocket socket_;  // in it
  int bridge_ = 0;
  int vxlan_ = 0;
};

}  // namespace holdfast::warden
