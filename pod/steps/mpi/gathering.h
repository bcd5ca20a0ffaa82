// Where srun brings together what its step daemons contribute: a fence of PMI or PMIx is complete
// when every node that takes part has come.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pod/steps/mpi/exchange.h"

namespace holdfast::pod {

class Gathering {
 public:
  explicit Gathering(size_t nodes) : nodes_(nodes) {}

  // What is complete now, with the nodes that wait for it. A contribution of a node that has given
  // its part already, or has none to give, is dropped.
  struct Complete {
    Gathered gathered;
    std::vector<uint32_t> nodes;
  };
  std::optional<Complete> Add(uint32_t node, Contribution contribution);

 private:
  struct Open {
    size_t missing = 0;
    std::map<uint32_t, std::optional<std::string>> parts;  // by node that takes part
  };

  size_t nodes_;
  std::map<std::string, Open> open_;
};

}  // namespace holdfast::pod
