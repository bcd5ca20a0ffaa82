// What the parts of the step launcher tell each other, inside frames of pod/frame_socket.h: srun
// (client.h) asks the allocator in pod 0 (desk.h) for a step, then a step daemon in each pod of the
// step (daemon.h) to run its tasks. Every Parse is strict: kCorrupt for anything that Serialize
// would not have written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "pod/launch.h"
#include "pod/steps/mpi/exchange.h"

namespace holdfast::pod {

// How tasks are dealt out to nodes.
enum class Distribution : uint8_t { kUnset, kBlock, kCyclic, kPlane, kArbitrary };

inline constexpr uint32_t kMaxTasks = 1'000'000;
// In place of a task's number.
inline constexpr uint32_t kAllTasks = UINT32_MAX;

// What a step wants of the job's nodes.
struct StepRequest {
  uint32_t tasks = 1;
  uint32_t min_nodes = 1, max_nodes = 1;
  uint32_t cpus_per_task = 0;   // 0: not asked for, and counts as 1
  uint32_t tasks_per_node = 0;  // 0: no limit
  uint32_t plane_size = 0;
  Distribution distribution = Distribution::kUnset;
  bool exact = false;       // only the CPUs that its tasks need, and not all on its nodes
  bool overlap = false;     // whatever others use
  bool overcommit = false;  // more tasks than CPUs
  uint64_t node_memory_mb = 0, cpu_memory_mb = 0;  // 0: not asked for
  std::vector<std::string> hosts;                  // to be among the step's nodes
  std::vector<std::string> excluded;
  std::optional<uint32_t> relative;  // leave out the first so many of the job's nodes
  std::string name;                  // of the program, for whoever looks
};

// A step's part of a node.
struct NodeShare {
  uint32_t pod = 0;
  std::string host;
  std::vector<uint32_t> tasks;  // their numbers, ascending
  std::vector<uint32_t> cpus;   // places among the job's CPUs on that node, ascending
  bool operator==(const NodeShare&) const = default;
};

struct StepGrant {
  uint32_t step = 0;
  std::vector<NodeShare> nodes;
  bool operator==(const StepGrant&) const = default;
};

// How the tasks of a node are bound to its CPUs.
struct Binding {
  // By task of the node: places among the job's CPUs there, or numbers of the machine's own; empty:
  // all that the pod has.
  std::vector<std::vector<uint32_t>> cpus;
  bool machine_numbers = false;
  std::string type = "mask_cpu:";  // as in SLURM_CPU_BIND_TYPE; or "map_cpu:", "none"
  std::string list;                // as the user gave it; empty: the masks of `cpus`
  bool one_mask = false;           // the tasks share all of `cpus`: the list has it once
  bool verbose = false;
};

// What a step daemon is to start. Lists are by task of the node.
struct DaemonOrder {
  uint32_t job = 0, step = 0;
  uint32_t node_index = 0;    // in the step
  uint32_t cpus_on_node = 0;  // that the step has there
  std::string host;
  std::vector<uint32_t> tasks;  // their numbers
  std::vector<std::vector<std::string>> programs;
  std::vector<uint32_t> program_of;
  Launch common;  // environment, directory, umask and limits of every task; and no program
  Binding binding;
  std::vector<std::string> input, output, error;  // files; empty: from and to srun
  std::string copy_from, copy_to;                 // --bcast: a file that the node gets before
  bool append = false;
  bool line_buffered = true;
  MpiOrder mpi;
  // Set by the daemon, for its tasks: where PMIx is.
  std::vector<std::vector<std::string>> task_environment;
};

struct TaskExit {
  uint32_t task = 0;
  ExitStatus status;
};

std::string Serialize(const StepRequest& request);
Result<StepRequest> ParseStepRequest(std::string_view bytes);
std::string Serialize(const StepGrant& grant);
Result<StepGrant> ParseStepGrant(std::string_view bytes);
std::string Serialize(const DaemonOrder& order);
Result<DaemonOrder> ParseDaemonOrder(std::string_view bytes);
std::string Serialize(const std::vector<TaskExit>& exits);
Result<std::vector<TaskExit>> ParseTaskExits(std::string_view bytes);
// A task's number in front of data: output of one task, input for one.
std::string Serialize(uint32_t task, std::string_view data);
Result<std::pair<uint32_t, std::string>> ParseTaskData(std::string_view bytes);

}  // namespace holdfast::pod
