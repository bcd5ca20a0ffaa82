#include "pod/steps/option_table.h"

#include <signal.h>

#include <algorithm>
#include <cctype>

#include "base/numbers.h"
#include "pod/steps/values.h"

namespace holdfast::pod {
namespace {

using enum Argument;

std::unexpected<Complaint> Complain(int code, std::string line) {
  return std::unexpected(Complaint{.exit_code = code, .lines = {std::move(line)}});
}
std::unexpected<Complaint> Invalid(const char* option) {
  return Complain(255, "error: Invalid --" + std::string(option) + " specification");
}

// A count from 1 on, or from 0.
template <uint32_t kLeast>
std::expected<uint32_t, Complaint> Count(const char* option, const std::string& value) {
  const auto number = ParseNumber<uint32_t>(value);
  if (number && *number >= kLeast && *number <= kMaxTasks) return *number;
  return Complain(1, "error: Invalid numeric value \"" + value + "\" for --" + option + ".");
}

#define HOLDFAST_COUNT(member, name, least)                                                    \
  [](Options& o, const std::string& value) -> Applied {                                        \
    return Count<least>(name, value).transform([&](uint32_t number) { o.member = {number}; }); \
  }
#define HOLDFAST_FLAG(member, what)               \
  [](Options& o, const std::string&) -> Applied { \
    o.member = what;                              \
    return {};                                    \
  }
#define HOLDFAST_TEXT(member)                           \
  [](Options& o, const std::string& value) -> Applied { \
    o.member = value;                                   \
    return {};                                          \
  }

Applied SetNodes(Options& o, const std::string& value) {
  const size_t dash = value.find('-');
  const auto low = ParseCount(value.substr(0, dash));
  const auto high = dash == std::string::npos ? low : ParseCount(value.substr(dash + 1));
  if (!low || !high || *low == 0)
    return Complain(255, "error: \"" + value + "\" is not a valid node count");
  o.min_nodes.value = *low;
  o.max_nodes.value = *high;
  return {};
}

Applied SetDistribution(Options& o, const std::string& value) {
  const std::string lower = Lower(value);
  const std::string nodes = lower.substr(0, lower.find_first_of(":,"));
  if (nodes.starts_with("plane")) {
    o.distribution = Distribution::kPlane;
    if (const auto size = ParseCount(nodes.size() > 6 ? nodes.substr(6) : "")) o.plane_size = *size;
    return {};
  }
  if (nodes == "block")
    o.distribution = Distribution::kBlock;
  else if (nodes == "cyclic")
    o.distribution = Distribution::kCyclic;
  else if (nodes == "arbitrary")
    o.distribution = Distribution::kArbitrary;
  else if (nodes == "*" || nodes == "pack" || nodes == "nopack")
    o.distribution = Distribution::kUnset;
  else
    return Invalid("distribution");
  return {};
}

Applied SetNodeMemory(Options& o, const std::string& value) {
  const auto size = ParseMegabytes(value);
  if (!size) return Invalid("mem");
  o.node_memory_mb = {*size};
  o.cpu_memory_mb = {};
  return {};
}
Applied SetCpuMemory(Options& o, const std::string& value) {
  const auto size = ParseMegabytes(value);
  if (!size) return Invalid("mem-per-cpu");
  o.cpu_memory_mb = {*size};
  o.node_memory_mb = {};
  return {};
}

Applied SetBinding(Options& o, const std::string& value) {
  for (std::string_view rest = value; !rest.empty();) {
    const std::string word = Lower(rest.substr(0, rest.find_first_of(",;")));
    const auto starts = [&](const char* with) { return word.starts_with(with); };
    if (starts("map_cpu:") || starts("mask_cpu:")) {
      o.bind = starts("map") ? BindUnit::kMap : BindUnit::kMask;
      o.bind_list = std::string(rest.substr(rest.find(':') + 1));
      return {};
    }
    rest.remove_prefix(std::min(word.size() + 1, rest.size()));
    if (word == "q" || word == "quiet") {
      o.bind_verbose = false;
    } else if (word == "v" || word == "verbose") {
      o.bind_verbose = true;
    } else if (word == "no" || word == "none") {
      o.bind = BindUnit::kNone;
    } else if (word == "threads" || word == "thread") {
      o.bind = BindUnit::kThreads;
    } else if (word == "cores" || word == "core") {
      o.bind = BindUnit::kCores;
    } else if (word == "sockets" || word == "socket" || starts("ldom") || starts("rank_ldom") ||
               starts("map_ldom") || starts("mask_ldom")) {
      o.bind = BindUnit::kSockets;
      if (starts("map_ldom") || starts("mask_ldom")) return {};
    } else if (word == "rank" || word.empty() || word == "one_thread") {
      continue;
    } else {
      return std::unexpected(
          Complaint{.exit_code = 1,
                    .lines = {"error: unrecognized --cpu-bind argument \"" + value + "\"",
                              "fatal: Failed to parse --cpu-bind= values."}});
    }
  }
  return {};
}

Applied SetHint(Options& o, const std::string& value) {
  for (const std::string& hint : SplitAt(Lower(value), ',')) {
    if (hint == "compute_bound" || hint == "nomultithread") {
      o.threads_per_core = 1;
      if (hint == "compute_bound" && o.bind == BindUnit::kAuto) o.bind = BindUnit::kCores;
      if (hint == "nomultithread" && o.bind == BindUnit::kAuto) o.bind = BindUnit::kThreads;
    } else if (hint == "memory_bound") {
      if (o.bind == BindUnit::kAuto) o.bind = BindUnit::kCores;
    } else if (hint != "multithread" && hint != "ignore") {
      return Complain(1, "error: unrecognized --hint argument \"" + value + "\", see --hint=help");
    }
  }
  return {};
}

Applied SetTime(Options& o, const std::string& value) {
  const auto seconds = ParseLimitSeconds(value);
  if (!seconds) return Invalid("time");
  if (*seconds > 0)
    o.limit_seconds = *seconds;
  else
    o.limit_seconds.reset();
  return {};
}

Applied SetSignal(Options& o, const std::string& value) {
  std::string text = value;
  if (const size_t colon = text.find(':'); colon != std::string::npos) text.erase(0, colon + 1);
  const size_t at = text.find('@');
  const auto signal = ParseSignal(text.substr(0, at));
  const auto seconds = at == std::string::npos ? 60U : ParseCount(text.substr(at + 1));
  if (!signal || !seconds) return Invalid("signal");
  o.signal = *signal;
  o.signal_seconds = *seconds;
  return {};
}

Applied SetOpenMode(Options& o, const std::string& value) {
  const char first = static_cast<char>(std::tolower(static_cast<unsigned char>(value[0])));
  if (value.empty() || (first != 'a' && first != 't')) return Invalid("open-mode");
  o.append = first == 'a';
  return {};
}

Applied SetKillOnBadExit(Options& o, const std::string& value) {
  if (value.empty()) {
    o.kill_on_bad_exit = true;
    return {};
  }
  return Count<0>("kill-on-bad-exit", value).transform([&](uint32_t n) {
    o.kill_on_bad_exit = n != 0;
  });
}

Applied SetImmediate(Options& o, const std::string& value) {
  if (value.empty()) {
    o.immediate_seconds = 1;
    return {};
  }
  return Count<0>("immediate", value).transform([&](uint32_t n) { o.immediate_seconds = n; });
}

Applied SetHostFile(Options& o, const std::string& value) {
  const auto hosts = ReadHostFile(value);
  if (!hosts) return Complain(255, "error: Invalid --nodefile specification");
  o.hosts = *hosts;
  return {};
}

Applied SetHostFileVariable(Options& o, const std::string& value) {
  const Applied applied = SetHostFile(o, value);
  if (applied) {
    o.distribution = Distribution::kArbitrary;
    o.hosts_by_file = true;
  }
  return applied;
}

Applied SetGres(Options&, const std::string& value) {
  if (Lower(value) == "none" || value.empty()) return {};
  return Complain(1, "error: Invalid generic resource (gres) specification");
}

Applied SetTasksResources(Options& o, const std::string& value) {
  for (const std::string& item : SplitAt(value, ',')) {
    if (!item.starts_with("cpu=") && !item.starts_with("cpu:"))
      return Complain(1, "error: Invalid generic resource (gres) specification");
    if (const auto cpus = ParseCount(item.substr(4))) o.cpus_per_task.value = *cpus;
  }
  return {};
}

Applied SetMpi(Options& o, const std::string& value) {
  o.mpi = value;
  return {};
}

Applied SetVerbosity(Options& o, const std::string& value) {
  o.verbosity += static_cast<int>(ParseCount(value).value_or(1));
  return {};
}

Applied SetBroadcast(Options& o, const std::string& value) {
  o.broadcasts = true;
  o.broadcast = value;
  return {};
}

Applied SetExclusive(Options& o, const std::string&) {
  o.exact = true;
  return {};
}

Applied SetPropagate(Options& o, const std::string& value) {
  o.propagate = value.empty() ? "ALL" : value;
  if (const auto bad = BadLimitName(o.propagate))
    return std::unexpected(Complaint{.exit_code = 1,
                                     .lines = {"error: Bad rlimit name: " + *bad,
                                               "error: --propagate=" + value + " is not valid."}});
  return {};
}

Applied Refuse(Options&, const std::string&) { return {}; }

#define HOLDFAST_REFUSED &Refuse
#define HOLDFAST_ACCEPTED nullptr

const Option kOptions[] = {
    // Which tasks, and where
    {"ntasks", 'n', kRequired, "SLURM_NPROCS SLURM_NTASKS",
     HOLDFAST_COUNT(tasks.value, "ntasks", 1)},
    {"nodes", 'N', kRequired, "SLURM_JOB_NUM_NODES", SetNodes},
    {"cpus-per-task", 'c', kRequired, "SLURM_CPUS_PER_TASK",
     HOLDFAST_COUNT(cpus_per_task.value, "cpus-per-task", 1)},
    {"ntasks-per-node", 0, kRequired, "SLURM_NTASKS_PER_NODE",
     HOLDFAST_COUNT(tasks_per_node.value, "ntasks-per-node", 1)},
    {"tasks-per-node", 0, kRequired, nullptr,
     HOLDFAST_COUNT(tasks_per_node.value, "ntasks-per-node", 1)},
    {"nodelist", 'w', kRequired, nullptr, HOLDFAST_TEXT(hosts)},
    {"nodefile", 'F', kRequired, nullptr, SetHostFile},
    {"exclude", 'x', kRequired, nullptr, HOLDFAST_TEXT(excluded)},
    {"relative", 'r', kRequired, nullptr, HOLDFAST_COUNT(relative, "relative", 0)},
    {"distribution", 'm', kRequired, "SLURM_DISTRIBUTION", SetDistribution},
    {"exact", 0, kNone, "SLURM_EXACT", HOLDFAST_FLAG(exact, true)},
    {"exclusive", 0, kOptional, "SLURM_EXCLUSIVE", SetExclusive},
    {"overlap", 0, kOptional, "SLURM_OVERLAP", HOLDFAST_FLAG(overlap, true)},
    {"whole", 0, kNone, "SLURM_WHOLE", HOLDFAST_FLAG(whole, true)},
    {"overcommit", 'O', kNone, "SLURM_OVERCOMMIT", HOLDFAST_FLAG(overcommit, true)},
    {"oversubscribe", 's', kNone, nullptr, HOLDFAST_ACCEPTED},
    {"share", 0, kNone, nullptr, HOLDFAST_ACCEPTED},
    {"mem", 0, kRequired, "SLURM_MEM_PER_NODE", SetNodeMemory},
    {"mem-per-cpu", 0, kRequired, "SLURM_MEM_PER_CPU", SetCpuMemory},
    {"immediate", 'I', kOptional, "SLURM_IMMEDIATE", SetImmediate},
    {"tres-per-task", 0, kRequired, "SLURM_TRES_PER_TASK", SetTasksResources},
    {"gres", 0, kRequired, "SLURM_GRES SLURM_STEP_GRES", SetGres},
    {"jobid", 0, kRequired, nullptr, HOLDFAST_COUNT(job, "jobid", 0)},

    // Binding
    {"cpu-bind", 0, kRequired, "SLURM_CPU_BIND", SetBinding},
    {"cpu_bind", 0, kRequired, nullptr, SetBinding},
    {"hint", 0, kRequired, "SLURM_HINT", SetHint},
    {"threads-per-core", 0, kRequired, "SLURM_THREADS_PER_CORE",
     HOLDFAST_COUNT(threads_per_core, "threads-per-core", 1)},
    {"ntasks-per-core", 0, kRequired, "SLURM_NTASKS_PER_CORE",
     HOLDFAST_COUNT(tasks_per_core, "ntasks-per-core", 1)},

    // Programs, and what they get
    {"multi-prog", 0, kNone, "SLURM_SRUN_MULTI", HOLDFAST_FLAG(multiple_programs, true)},
    {"export", 0, kRequired, "SLURM_EXPORT_ENV SRUN_EXPORT_ENV", HOLDFAST_TEXT(export_what)},
    {"chdir", 'D', kRequired, "SLURM_REMOTE_CWD SLURM_WORKING_DIR", HOLDFAST_TEXT(directory)},
    {"propagate", 0, kOptional, "SLURM_PROPAGATE", SetPropagate},
    {"bcast", 0, kOptional, "SLURM_BCAST", SetBroadcast},
    {"mpi", 0, kRequired, "SLURM_MPI_TYPE", SetMpi},
    {"job-name", 'J', kRequired, nullptr, HOLDFAST_TEXT(program_name)},

    // Input and output
    {"label", 'l', kNone, "SLURM_LABELIO", HOLDFAST_FLAG(label, true)},
    {"output", 'o', kRequired, "SLURM_STDOUTMODE SRUN_OUTPUT", HOLDFAST_TEXT(output)},
    {"error", 'e', kRequired, "SLURM_STDERRMODE SRUN_ERROR", HOLDFAST_TEXT(error)},
    {"input", 'i', kRequired, "SLURM_STDINMODE SRUN_INPUT", HOLDFAST_TEXT(input)},
    {"open-mode", 0, kRequired, "SLURM_OPEN_MODE", SetOpenMode},
    {"unbuffered", 'u', kNone, "SLURM_UNBUFFEREDIO", HOLDFAST_FLAG(unbuffered, true)},

    // Ends and signals
    {"kill-on-bad-exit", 'K', kOptional, "SLURM_KILL_BAD_EXIT", SetKillOnBadExit},
    {"wait", 'W', kRequired, "SLURM_WAIT", HOLDFAST_COUNT(wait_seconds, "wait", 0)},
    {"time", 't', kRequired, "SLURM_TIMELIMIT", SetTime},
    {"signal", 0, kRequired, "SLURM_SIGNAL", SetSignal},
    {"disable-status", 'X', kNone, "SLURM_DISABLE_STATUS", HOLDFAST_FLAG(disable_status, true)},
    {"quit-on-interrupt", 0, kNone, nullptr, HOLDFAST_FLAG(quit_on_interrupt, true)},

    // What srun says
    {"quiet", 'Q', kNone, nullptr, HOLDFAST_FLAG(quiet, true)},
    {"verbose", 'v', kOptional, "SLURM_DEBUG", SetVerbosity},
    {"version", 'V', kNone, nullptr, HOLDFAST_FLAG(asks_version, true)},
    {"help", 'h', kNone, nullptr, HOLDFAST_FLAG(asks_help, true)},
    {"usage", 0, kNone, nullptr, HOLDFAST_FLAG(asks_help, true)},

    // What the job has settled, or what says nothing to a step
    {"accel-bind", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"account", 'A', kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"acctg-freq", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"bb", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"bbf", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"bcast-exclude", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"begin", 'b', kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"cluster-constraint", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"comment", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"compress", 0, kOptional, nullptr, HOLDFAST_ACCEPTED},
    {"constraint", 'C', kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"contiguous", 0, kNone, nullptr, HOLDFAST_ACCEPTED},
    {"core-spec", 'S', kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"cores-per-socket", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"cpu-freq", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"deadline", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"delay-boot", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"dependency", 'd', kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"extra", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"extra-node-info", 'B', kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"gres-flags", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"hold", 'H', kNone, nullptr, HOLDFAST_ACCEPTED},
    {"licenses", 'L', kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"mail-type", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"mail-user", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"mcs-label", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"mem-bind", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"mincpus", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"msg-timeout", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"network", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"nice", 0, kOptional, nullptr, HOLDFAST_ACCEPTED},
    {"no-kill", 'k', kOptional, nullptr, HOLDFAST_ACCEPTED},
    {"ntasks-per-socket", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"oom-kill-step", 0, kOptional, nullptr, HOLDFAST_ACCEPTED},
    {"partition", 'p', kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"power", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"prefer", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"preserve-env", 'E', kNone, nullptr, HOLDFAST_ACCEPTED},
    {"preserve-slurm-env", 0, kNone, nullptr, HOLDFAST_ACCEPTED},
    {"priority", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"profile", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"qos", 'q', kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"reboot", 0, kNone, nullptr, HOLDFAST_ACCEPTED},
    {"reservation", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"resv-ports", 0, kOptional, nullptr, HOLDFAST_ACCEPTED},
    {"send-libs", 0, kOptional, nullptr, HOLDFAST_ACCEPTED},
    {"slurmd-debug", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"sockets-per-node", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"spread-job", 0, kNone, nullptr, HOLDFAST_ACCEPTED},
    {"switches", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"thread-spec", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"threads", 'T', kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"time-min", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"tmp", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"use-min-nodes", 0, kNone, nullptr, HOLDFAST_ACCEPTED},
    {"wckey", 0, kRequired, nullptr, HOLDFAST_ACCEPTED},
    {"checkpoint", 0, kOptional, nullptr, HOLDFAST_ACCEPTED},

    // What cannot be done
    {"clusters", 'M', kRequired, nullptr, HOLDFAST_REFUSED},
    {"container", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"container-id", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"cpus-per-gpu", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"epilog", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"gpu-bind", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"gpu-freq", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"gpus", 'G', kRequired, nullptr, HOLDFAST_REFUSED},
    {"gpus-per-node", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"gpus-per-socket", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"gpus-per-task", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"het-group", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"interactive", 0, kNone, nullptr, HOLDFAST_REFUSED},
    {"mem-per-gpu", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"no-allocate", 'Z', kNone, nullptr, HOLDFAST_REFUSED},
    {"ntasks-per-gpu", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"pack-group", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"prolog", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"pty", 0, kOptional, nullptr, HOLDFAST_REFUSED},
    {"task-epilog", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"task-prolog", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"test-only", 0, kNone, nullptr, HOLDFAST_REFUSED},
    {"tres-bind", 0, kRequired, nullptr, HOLDFAST_REFUSED},
    {"x11", 0, kOptional, nullptr, HOLDFAST_REFUSED},

    // A variable that means two options at once
    {"hostfile-of-variable", 0, kRequired, "SLURM_HOSTFILE", SetHostFileVariable},
};

}  // namespace

std::span<const Option> OptionTable() { return kOptions; }

bool IsRefused(const Option& option) { return option.apply == &Refuse; }

}  // namespace holdfast::pod
