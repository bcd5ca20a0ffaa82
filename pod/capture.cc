#include "pod/capture.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <filesystem>
#include <optional>

#include "base/files.h"
#include "pod/batch.h"

namespace holdfast::pod {
namespace {

// A pod has its own of these.
constexpr std::array<std::string_view, 5> kPrivateDirectories{"/tmp/", "/dev/shm/",
                                                              "/run/holdfast/", "/proc/", "/sys/"};

std::vector<Limit> CurrentLimits() {
  std::vector<Limit> limits;
  for (int resource = 0; resource < RLIM_NLIMITS; ++resource) {
    rlimit limit;
    if (::getrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0)
      limits.push_back({.resource = resource, .soft = limit.rlim_cur, .hard = limit.rlim_max});
  }
  return limits;
}

Result<Stdio> CaptureStdio(int fd, bool append) {
  HOLDFAST_TRY(std::string path, PathOfDescriptor(fd));
  return Stdio{.path = std::move(path), .append = append};
}

}  // namespace

Result<std::string> PathOfDescriptor(int fd) {
  constexpr std::array<std::string_view, 3> kNames{"input", "output", "error output"};
  const std::string what = "the job's " + std::string(kNames.at(static_cast<size_t>(fd)));
  char target[PATH_MAX];
  const ssize_t length =
      ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof target);
  if (length < 0) return FailErrno("finding " + what);
  const std::string path(target, static_cast<size_t>(length));

  struct stat opened = {}, named = {};
  if (::fstat(fd, &opened) != 0) return FailErrno("examining " + what);
  if (::stat(path.c_str(), &named) != 0 || opened.st_ino != named.st_ino ||
      opened.st_dev != named.st_dev || (!S_ISREG(opened.st_mode) && path != "/dev/null"))
    return Fail(Code::kInvalid, what + " is " + path +
                                    ", which is not a file that the job can open again on another "
                                    "node: name one with --input, --output or --error");
  if (std::ranges::any_of(kPrivateDirectories,
                          [&](std::string_view directory) { return path.starts_with(directory); }))
    return Fail(Code::kInvalid, what + " is " + path +
                                    ", in a directory that a checkpointed job has to itself: name "
                                    "a file on a shared filesystem with --output and --error");
  return path;
}

std::vector<std::string> ScriptEnvironment(const char* const* environment) {
  constexpr std::array<std::string_view, 7> kOurs{kOpenModeVariable,
                                                  kSubmittedVariable,
                                                  kWarningVariable,
                                                  kPodStepVariable,
                                                  kStepdFdVariable,
                                                  kTaskFdVariable,
                                                  "SLURM_SPANK__SLURM_SPANK_OPTION_holdfast_"};
  std::vector<std::string> kept;
  std::optional<std::string> open_mode;
  for (; *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    if (entry.starts_with(kOpenModeVariable)) open_mode = entry.substr(entry.find('=') + 1);
    if (std::ranges::none_of(kOurs, [&](std::string_view name) { return entry.starts_with(name); }))
      kept.emplace_back(entry);
  }
  if (!open_mode) return kept;
  // sbatch tells of the open mode if one was asked for; that it appends the plugin did.
  constexpr std::string_view kTold = "SLURM_OPEN_MODE=";
  std::erase_if(kept, [&](const std::string& entry) { return entry.starts_with(kTold); });
  if (open_mode == "t") kept.push_back(std::string(kTold) + *open_mode);
  return kept;
}

Result<Launch> CaptureLaunch(std::vector<std::string> argv) {
  Launch launch{.argv = std::move(argv)};
  if (launch.argv.empty()) return Fail(Code::kInvalid, "no batch script was named");
  HOLDFAST_TRY(launch.script, ReadFile(launch.argv[0]));
  launch.environment = ScriptEnvironment(environ);
  std::error_code error;
  launch.cwd = std::filesystem::current_path(error);
  if (error) return std::unexpected(Error::FromErrno("finding the job's directory", error.value()));
  launch.umask = ::umask(0);
  ::umask(launch.umask);
  launch.limits = CurrentLimits();
  const bool append = ::getenv(kOpenModeVariable) == nullptr;
  HOLDFAST_TRY(launch.input, CaptureStdio(0, false));
  HOLDFAST_TRY(launch.output, CaptureStdio(1, append));
  HOLDFAST_TRY(launch.error, CaptureStdio(2, append));
  return launch;
}

}  // namespace holdfast::pod
