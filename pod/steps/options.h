// srun's command line and the variables that stand for parts of it, as Slurm 24.11 reads them. One
// table (option_table.cc) says which there are, what each sets, and which are accepted without
// effect or refused.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pod/steps/messages.h"

namespace holdfast::pod {

// A value and whether the user wrote it on the command line or it came from a variable.
template <class T>
struct Given {
  std::optional<T> value;
  bool by_variable = false;

  explicit operator bool() const { return value.has_value(); }
  const T& operator*() const { return *value; }
};

// How tasks are to be bound to CPUs.
enum class BindUnit : uint8_t { kAuto, kNone, kThreads, kCores, kSockets, kMap, kMask };

struct Options {
  Given<uint32_t> tasks, cpus_per_task, tasks_per_node;
  Given<uint32_t> min_nodes, max_nodes;  // together
  std::string hosts, excluded;
  bool hosts_by_file = false;  // of SLURM_HOSTFILE: one for each task
  std::optional<uint32_t> relative;
  Distribution distribution = Distribution::kUnset;
  uint32_t plane_size = 0;
  bool exact = false, overlap = false, overcommit = false, whole = false;
  Given<uint64_t> node_memory_mb, cpu_memory_mb;
  uint32_t threads_per_core = 0, tasks_per_core = 0;
  BindUnit bind = BindUnit::kAuto;
  std::string bind_list;
  bool bind_verbose = false;

  std::string output, error, input;
  bool append = false;
  bool label = false, unbuffered = false;
  std::optional<std::string> export_what;
  std::string directory;
  std::string propagate = "ALL";
  bool multiple_programs = false;
  std::string broadcast;
  bool broadcasts = false;
  std::string program_name;  // --job-name

  std::optional<uint32_t> immediate_seconds;
  std::optional<bool> kill_on_bad_exit;
  std::optional<uint32_t> wait_seconds;
  std::optional<uint32_t> limit_seconds;
  int signal = 0;
  uint32_t signal_seconds = 0;
  std::string mpi;
  bool disable_status = false, quit_on_interrupt = false;
  int verbosity = 0;
  bool quiet = false;

  std::optional<uint32_t> job;  // --jobid
  bool asks_version = false, asks_help = false;
  std::vector<std::string> command;
};

// Why srun ends before it has begun: lines for stderr, without "srun: ", and its exit code.
struct Complaint {
  int exit_code = 1;
  std::vector<std::string> lines;
};
inline std::unexpected<Complaint> Complain(std::string line) {
  return std::unexpected(Complaint{.lines = {std::move(line)}});
}

// `arguments` without the program's name. Lines for stderr that do not end it go to `remarks`.
std::expected<Options, Complaint> ParseOptions(const std::vector<std::string>& arguments,
                                               const std::vector<std::string>& environment,
                                               std::vector<std::string>& remarks);

}  // namespace holdfast::pod
