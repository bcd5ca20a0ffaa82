#include "pod/steps/task.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/files.h"
#include "pod/pod_directory.h"
#include "pod/steps/environment.h"
#include "pod/steps/values.h"
#include "pod/temporary_directory.h"

namespace holdfast::pod {
namespace {

// Above the standard descriptors.
constexpr int kOrderFd = 9;

// Room for more CPUs than any Linux has (NR_CPUS is at most 8192).
using CpuSet = std::array<cpu_set_t, 8>;

std::vector<uint32_t> OwnCpus() {
  CpuSet set = {};
  std::vector<uint32_t> cpus;
  if (::sched_getaffinity(0, sizeof set, set.data()) != 0) return cpus;
  for (uint32_t cpu = 0; cpu < sizeof set * 8; ++cpu)
    if (CPU_ISSET_S(cpu, sizeof set, set.data())) cpus.push_back(cpu);
  return cpus;
}

// The machine's numbers of what a task is to be bound to. Places beyond what the pod has (a site
// may tell Slurm of more CPUs than there are) fall upon those that it has.
std::vector<uint32_t> MachineCpus(const Binding& binding, const std::vector<uint32_t>& wanted,
                                  const std::vector<uint32_t>& own) {
  if (binding.machine_numbers || own.empty()) return wanted;
  std::vector<uint32_t> cpus;
  for (const uint32_t place : wanted) cpus.push_back(own[place % own.size()]);
  std::ranges::sort(cpus);
  const auto repeated = std::ranges::unique(cpus);
  cpus.erase(repeated.begin(), repeated.end());
  return cpus;
}

std::string MasksOf(const Binding& binding, const std::vector<uint32_t>& own) {
  std::string masks;
  for (const auto& wanted : binding.cpus) {
    masks += (masks.empty() ? "" : ",") + FormatMask(MachineCpus(binding, wanted, own));
    if (binding.one_mask) break;
  }
  return masks;
}

// As slurmstepd begins its lines.
void Complain(const DaemonOrder& order, const char* format, const std::string& what, int error) {
  ::dprintf(STDERR_FILENO, "slurmstepd-%s: error: ", order.host.c_str());
  ::dprintf(STDERR_FILENO, format, what.c_str(), ::strerror(error));
  ::dprintf(STDERR_FILENO, "\n");
}

void Bind(const DaemonOrder& order, size_t index, const std::vector<uint32_t>& own) {
  const Binding& binding = order.binding;
  const auto cpus = MachineCpus(binding, binding.cpus[index], own);
  CpuSet set = {};
  for (const uint32_t cpu : cpus)
    if (cpu < sizeof set * 8) CPU_SET_S(cpu, sizeof set, set.data());
  // Numbers that the pod does not have bind to nothing: as the task is, then.
  const bool bound = !cpus.empty() && ::sched_setaffinity(0, sizeof set, set.data()) == 0;
  if (!binding.verbose) return;
  const char* const kind = binding.type == "none"       ? "NONE"
                           : binding.type == "map_cpu:" ? "MAP "
                                                        : "MASK";
  ::dprintf(STDERR_FILENO, "cpu-bind=%s - %s, task %2u %2zu [%d]: mask %s%s\n", kind,
            order.host.c_str(), order.tasks[index], index, ::getpid(),
            FormatMask(bound ? cpus : own).c_str(), bound ? " set" : "");
}

bool Redirect(const DaemonOrder& order, int number, const std::string& path) {
  if (path.empty()) return true;
  const int flags = number == STDIN_FILENO
                        ? O_RDONLY
                        : O_WRONLY | O_CREAT | (order.append ? O_APPEND : O_TRUNC | O_APPEND);
  const auto file = OpenFile(path, flags, 0666);
  if (file && ::dup2(file->get(), number) >= 0) return true;
  Complain(order, "Could not open %s: %s", path, errno);
  return false;
}

void SetLimits(const DaemonOrder& order) {
  for (const Limit& limit : order.common.limits) {
    rlimit value{.rlim_cur = limit.soft, .rlim_max = limit.hard};
    rlimit current{};
    ::getrlimit(static_cast<__rlimit_resource>(limit.resource), &current);
    // The hard limit stays the node's: a step's limits are the soft ones of srun.
    value.rlim_max = current.rlim_max;
    value.rlim_cur = std::min(value.rlim_cur, value.rlim_max);
    ::setrlimit(static_cast<__rlimit_resource>(limit.resource), &value);
  }
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Result<Process> StartTask(const UniqueFd& order, size_t index,
                          std::vector<std::pair<int, int>> fds) {
  fds.emplace_back(order.get(), kOrderFd);
  return Process::Spawn(
      {.argv = {kPodRootPath, "--task", std::to_string(kOrderFd), std::to_string(index)},
       .fds = std::move(fds),
       .new_session = true});
}

std::string NoDirectory(const DaemonOrder& order, int error) {
  return "slurmstepd-" + order.host + ": error: couldn't chdir to `" + order.common.cwd +
         "': " + ::strerror(error) + ": going to /tmp instead\n";
}

int BecomeTask(int fd, size_t index) {
  // By name: the position in the file is shared with the other tasks.
  const auto bytes = ReadFile("/proc/self/fd/" + std::to_string(fd));
  ::close(fd);
  if (!bytes) return EXIT_FAILURE;
  const auto order = ParseDaemonOrder(*bytes);
  if (!order || index >= order->tasks.size()) return EXIT_FAILURE;

  ::signal(SIGPIPE, SIG_DFL);
  ::umask(order->common.umask);
  if (::chdir(order->common.cwd.c_str()) != 0) {
    const std::string line = NoDirectory(*order, errno);
    [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, line.data(), line.size());
    if (::chdir("/tmp") != 0) return EXIT_FAILURE;
  }
  if (!Redirect(*order, STDIN_FILENO, order->input[index]) ||
      !Redirect(*order, STDOUT_FILENO, order->output[index]))
    return EXIT_FAILURE;
  if (!order->error[index].empty() && order->error[index] == order->output[index])
    ::dup2(STDOUT_FILENO, STDERR_FILENO);
  else if (!Redirect(*order, STDERR_FILENO, order->error[index]))
    return EXIT_FAILURE;
  const std::vector<uint32_t> own = OwnCpus();
  Bind(*order, index, own);
  std::vector<std::string> environment =
      TaskEnvironment(*order, index, MasksOf(order->binding, own));
  SetVariable(environment, "SLURM_TASK_PID", std::to_string(::getpid()));
  SetLimits(*order);
  MakeTemporaryDirectory(environment);

  const std::vector<std::string>& program = order->programs[order->program_of[index]];
  const std::vector<char*> argv = Pointers(program), env = Pointers(environment);
  ::execve(argv[0], argv.data(), env.data());
  const int error = errno;
  Complain(*order, "execve(): %s: %s", program[0], error);
  return error;
}

}  // namespace holdfast::pod
