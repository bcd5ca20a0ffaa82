// Which nodes are being emptied, and why: because the cloud takes them back, somebody asked for it,
// or an administrator drained them with a reason that the site named. Pure; the controller owns it,
// reads node records for it and does what it says. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "coordinator/event.h"

namespace holdfast::coordinator {

// A node as Slurm knows it.
struct NodeRecord {
  std::string name;
  bool draining = false;  // gets no new jobs
  std::string reason;
  std::string features;  // of the node, as its site names them
};

struct Evacuation {
  std::string node;
  Reason cause = Reason::kNone;  // of the checkpoints
  std::string reason;            // for Slurm's record of the node
  int64_t deadline_unix_ms = 0;  // when the node goes, or 0
  int64_t begun_ns = 0;
  bool drained = false;  // Slurm has said so
};

// What is to happen to a job with a pod on that node.
Wish WishOf(const Evacuation& evacuation);

class Evacuations {
 public:
  // `pattern`: an extended regular expression that has been checked; empty: no node is evacuated
  // because of its reason.
  explicit Evacuations(const std::string& pattern) { Watch(pattern); }
  // Another pattern, for nodes that are drained from now on.
  void Watch(const std::string& pattern);

  // Under way, or begun again with a new deadline.
  void Begin(const Evacuation& evacuation);
  const Evacuation* Find(const std::string& node) const;
  std::vector<Evacuation> List() const;
  // Whether Consider is of use.
  bool watching() const { return pattern_ || !nodes_.empty(); }

  struct Findings {
    std::vector<Evacuation> begun;      // drained by somebody with a matching reason
    std::vector<Evacuation> undrained;  // Slurm has not heard of it yet: say it again
  };
  // What Slurm says of all nodes. A node that is in use again is no longer evacuated.
  Findings Consider(const std::vector<NodeRecord>& records, int64_t now_ns);

 private:
  std::unique_ptr<const std::regex> pattern_;
  std::map<std::string, Evacuation> nodes_;
};

}  // namespace holdfast::coordinator
