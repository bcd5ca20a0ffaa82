#include "pod/steps/option_table.h"

#include "pod/steps/option_setters.h"

namespace holdfast::pod {
namespace {

using enum Argument;

#define HOLDFAST_COUNT(member, name, least)                                                    \
  [](Options& o, const std::string& value) -> Applied {                                        \
    return Count(name, value, least).transform([&](uint32_t number) { o.member = {number}; }); \
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
