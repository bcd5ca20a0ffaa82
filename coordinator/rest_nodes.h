// Nodes in the REST API: what is about to happen to them, and which of the caller's jobs are there.
// Used by rest_server.cc. Thread-safe.
#pragma once

#include <vector>

#include "base/result.h"
#include "coordinator/controller.h"
#include "coordinator/rest_answer.h"
#include "coordinator/rest_caller.h"
#include "coordinator/rest_public.h"
#include "coordinator/rest_rights.h"

namespace holdfast::coordinator {

class RestNodes {
 public:
  // All must outlive it.
  RestNodes(Controller& controller, SlurmClient& slurm, RestRights& rights)
      : controller_(controller), slurm_(slurm), rights_(rights) {}

  Result<Reply> List(const httplib::Request& request, const Caller& caller);
  Result<Reply> Evacuate(const httplib::Request& request, const Caller& caller);

 private:
  Controller& controller_;
  SlurmClient& slurm_;
  RestRights& rights_;
  Recent<Result<std::vector<NodeRecord>>> nodes_;
};

}  // namespace holdfast::coordinator
