// PMI-1 and PMI-2 for the tasks of a step on one node, over a socket pair with each: what hydra's
// proxy is to MPICH, and slurmstepd to a task of `srun --mpi=pmi2`. Lives in the step's daemon;
// fences reach the other nodes by way of its host.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "pod/steps/mpi/exchange.h"
#include "pod/steps/mpi/pmi_wire.h"

namespace holdfast::pod {

class PmiHost {
 public:
  virtual ~PmiHost() = default;
  // Its data comes back by Deliver, with that of the other nodes.
  virtual void Contribute(const Contribution& contribution) = 0;
  // A line for the step's user. `index`: the task, on this node.
  virtual void Complain(size_t index, const std::string& line) = 0;
  // A task wants the step to end.
  virtual void Abort() = 0;
};

struct PmiFacts {
  std::string name;             // of the step: "JOB.STEP"
  std::vector<uint32_t> tasks;  // their numbers, on this node
  uint32_t size = 0;            // tasks of the whole step
  std::string mapping;          // PMI_process_mapping
};

class PmiServer {
 public:
  static Result<PmiServer> Open(PmiFacts facts, PmiHost& host);

  // The task's end of its connection.
  Result<UniqueFd> Connect(size_t index);
  // Readable when Serve has something to do.
  int fd() const { return poll_.get(); }
  // Never blocks. What cannot be understood ends the connection with that task alone.
  void Serve();
  // Whether it was for a fence of this server.
  bool Deliver(const Gathered& gathered);

 private:
  struct Task {
    UniqueFd socket;
    std::string in, out;
    bool leaves = false;                      // the connection ends with what is in `out`
    std::optional<PmiVersion> fenced;         // it waits in a fence that it entered so
    std::optional<std::string> awaited_node;  // a node's attribute
  };

  PmiServer(PmiFacts facts, PmiHost& host) : facts_(std::move(facts)), host_(&host) {}
  void Read(size_t index);
  void Write(size_t index);
  void Watch(size_t index) const;
  void Take(size_t index, const PmiRequest& request);
  bool TakeOfVersion1(size_t index, const PmiRequest& request);
  bool TakeOfVersion2(size_t index, const PmiRequest& request);
  void Answer(size_t index, const PmiRequest& request, std::string_view command,
              const std::vector<std::string>& fields);
  int Put(const PmiRequest& request);
  std::optional<std::string> Find(const PmiRequest& request) const;
  void Fence(size_t index, PmiVersion version);
  void PutNodeAttribute(size_t index, const PmiRequest& request);
  void GetNodeAttribute(size_t index, const PmiRequest& request);
  void Refuse(size_t index, const PmiRequest& request);
  void Close(size_t index);

  PmiFacts facts_;
  PmiHost* host_;
  UniqueFd poll_;
  std::vector<Task> tasks_;
  size_t in_fence_ = 0;
  uint64_t fences_ = 0;
  FieldWriter put_;  // since the last fence
  std::unordered_map<std::string, std::string> values_, node_attributes_;
};

}  // namespace holdfast::pod
