// The job's own network, as one pod sees it: a VXLAN interface `hf0` whose forwarding table says on
// which node each peer is today. Addresses follow from the pod's number and never change.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

inline constexpr const char* kJobInterface = "hf0";
// Outer IPv4 + UDP + VXLAN + inner Ethernet headers: RFC 7348.
inline constexpr unsigned kVxlanOverheadBytes = 50;
// Jobs' VNIs are below 1 << kVniSlotShift (kVniCount of the coordinator); the bits above are the
// slot.
inline constexpr unsigned kVniSlotShift = 20;
// Outer source ports: privileged, so that their packets were sent by a kernel or by root, and many,
// so that links in parallel share the load.
inline constexpr uint16_t kFirstSourcePort = 600;
inline constexpr uint16_t kLastSourcePort = 1023;

struct NetworkPeer {
  uint32_t pod = 0;
  std::string node_address;  // IPv4, of the node's own network
  std::string hostname;
  uint32_t slot = 0;  // which of the job's pods on that node, from 0
};

struct NetworkOptions {
  uint32_t vni = 0;                // the job's: that of its pods in slot 0
  uint16_t port = 0;               // UDP, privileged, both ends
  unsigned mtu = 0;                // of hf0
  std::string subnet;              // "198.18.0.0/16"
  std::string local_address;       // this node's, for the outer header
  std::vector<NetworkPeer> peers;  // every pod of the job, this one too
};

// The fixed address of a pod: subnet's base + 1 + pod. kInvalid if the subnet has no room for it.
Result<std::string> PodAddress(const std::string& subnet, uint32_t pod);
// The pod's /etc/hosts: localhost, every peer by its hostname, and of `others`, the node's own, the
// names that no peer has.
Result<std::string> MakeHosts(const NetworkOptions& options, const std::string& others = {});

class JobNetwork {
 public:
  // Creates hf0 in the pod, its packets leaving through the node's namespace, and sets addresses,
  // static forwarding and neighbours; starts cut. Also makes sure that the node drops VXLAN packets
  // whose source port is not privileged. Called in the node's network namespace; not thread-safe
  // with itself.
  static Result<std::unique_ptr<JobNetwork>> Create(const Pod& pod, const NetworkOptions& options);
  virtual ~JobNetwork() = default;  // deletes hf0, so that its VNI is free on this node

  // Drops everything that leaves or enters the pod, to its peers and to the outside, when it
  // returns; nothing that has not been seen by then is seen.
  virtual Status Cut() = 0;
  virtual Status Uncut() = 0;
};

// The node's address and MTU towards the coordinator, which is taken for the way to other nodes
// too.
struct Underlay {
  std::string address;
  unsigned mtu = 0;
};
Result<Underlay> FindUnderlay(const std::string& host, uint16_t port);

}  // namespace holdfast::warden
