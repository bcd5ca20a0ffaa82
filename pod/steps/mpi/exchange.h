// How the tasks of an MPI program find each other (--mpi): what srun tells its step daemons of it,
// and what the daemons tell each other by way of srun, the middle of the star. Every Parse is
// strict, as in pod/steps/messages.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "pod/fields.h"

namespace holdfast::pod {

// What tasks are offered. A part of a DaemonOrder, the same for every node.
struct MpiOrder {
  bool pmi = false;          // PMI-1 and PMI-2, at the descriptor that PMI_FD names
  bool pmix = false;         // a PMIx server in each pod
  bool pmix_needed = false;  // --mpi=pmix: without it there is no step
  uint32_t tasks = 0;        // of the whole step
  std::string hosts;         // of the step, as in SLURM_STEP_NODELIST, in its order
  std::string mapping;       // tasks to nodes, as in PMI_process_mapping
};

void Add(FieldWriter& writer, const MpiOrder& order);
MpiOrder ReadMpiOrder(FieldReader& reader);

// "(vector,(0,2,16))": blocks of first node, number of nodes, tasks on each.
std::string MapTasks(const std::vector<std::vector<uint32_t>>& tasks_of_nodes);
// The inverse: for each node its tasks, ascending.
Result<std::vector<std::vector<uint32_t>>> TasksOfNodes(std::string_view mapping, size_t nodes,
                                                        uint32_t tasks);

// A node's part of something that is complete when all of its nodes have given theirs.
struct Contribution {
  std::string name;             // what it is a part of
  std::vector<uint32_t> nodes;  // of the step, ascending: who takes part; none: all
  std::string data;
};
std::string Serialize(const Contribution& contribution);
Result<Contribution> ParseContribution(std::string_view bytes);

// What srun makes of the contributions: their data one after the other, by node.
struct Gathered {
  std::string name;
  std::string data;
};
std::string Serialize(const Gathered& gathered);
Result<Gathered> ParseGathered(std::string_view bytes);

// From one daemon to another. `node` is where it goes, or, for the receiver, where it comes from.
struct Letter {
  uint32_t node = 0;
  std::string data;
};
std::string Serialize(const Letter& letter);
Result<Letter> ParseLetter(std::string_view bytes);

// A task wants the step to end.
struct AbortWish {
  uint32_t code = 0;  // for srun to exit with; 0: as its tasks end
  // It ends by itself, with a code of its own, and is given the time.
  std::optional<uint32_t> ending_task;
};
std::string Serialize(const AbortWish& wish);
Result<AbortWish> ParseAbortWish(std::string_view bytes);

}  // namespace holdfast::pod
