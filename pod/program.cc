#include "pod/program.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "pod/pod_directory.h"
#include "pod/temporary_directory.h"

namespace holdfast::pod {
namespace {

// Above the descriptors that `fds` may name.
constexpr int kLaunchFd = 9;

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

Status OpenAs(int number, const Stdio& stdio, int flags) {
  if (stdio.path.empty()) return {};
  HOLDFAST_TRY(const UniqueFd file, OpenFile(stdio.path, flags, 0666));
  if (::dup2(file.get(), number) < 0) return FailErrno("dup2");
  return {};
}

// Always O_APPEND: Slurm writes its own lines to the same file, and none may overwrite another's.
int OutputFlags(const Stdio& stdio) {
  return O_WRONLY | O_CREAT | O_APPEND | (stdio.append ? 0 : O_TRUNC);
}

Status OpenStdio(const Launch& launch) {
  HOLDFAST_CHECK(OpenAs(STDIN_FILENO, launch.input, O_RDONLY));
  HOLDFAST_CHECK(OpenAs(STDOUT_FILENO, launch.output, OutputFlags(launch.output)));
  if (launch.error.path.empty() || launch.error.path != launch.output.path)
    return OpenAs(STDERR_FILENO, launch.error, OutputFlags(launch.error));
  if (::dup2(STDOUT_FILENO, STDERR_FILENO) < 0) return FailErrno("dup2");
  return {};
}

Status SetLimits(const std::vector<Limit>& limits) {
  for (const Limit& limit : limits) {
    const rlimit value{.rlim_cur = limit.soft, .rlim_max = limit.hard};
    if (::setrlimit(static_cast<__rlimit_resource>(limit.resource), &value) != 0)
      return FailErrno("setting resource limit " + std::to_string(limit.resource));
  }
  return {};
}

Status BecomeLaunch(int fd) {
  UniqueFd file(fd);
  HOLDFAST_TRY(const std::string bytes, ReadAll(file));
  file.Reset();
  HOLDFAST_TRY(const Launch launch, ParseLaunch(bytes));
  if (launch.argv.empty()) return Fail(Code::kInvalid, "no program named");
  ::umask(launch.umask);
  HOLDFAST_CHECK(OpenStdio(launch));
  if (!launch.note.empty()) ::dprintf(STDERR_FILENO, "holdfast: %s\n", launch.note.c_str());
  HOLDFAST_CHECK(SetLimits(launch.limits));
  MakeTemporaryDirectory(launch.environment);
  if (::chdir(launch.cwd.c_str()) != 0) {
    // What Slurm does, too: slurmstepd falls back to /tmp and says so.
    ::dprintf(STDERR_FILENO, "holdfast: cannot enter %s: %m; using /tmp instead\n",
              launch.cwd.c_str());
    if (::chdir("/tmp") != 0) return FailErrno("entering /tmp");
  }
  const std::vector<char*> argv = Pointers(launch.argv), env = Pointers(launch.environment);
  ::execve(argv[0], argv.data(), env.data());
  return FailErrno("executing " + launch.argv[0]);
}

}  // namespace

Result<Process> StartProgram(const Launch& launch, std::vector<std::pair<int, int>> fds) {
  HOLDFAST_TRY(const UniqueFd file, FileInMemory(Serialize(launch)));
  fds.emplace_back(file.get(), kLaunchFd);
  return Process::Spawn({.argv = {kPodRootPath, "--become", std::to_string(kLaunchFd)},
                         .fds = std::move(fds),
                         .new_session = true,
                         .kill_with_parent = false});
}

Error Become(int fd) { return BecomeLaunch(fd).error(); }

}  // namespace holdfast::pod
