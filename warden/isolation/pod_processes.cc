#include "warden/isolation/pod_processes.h"

#include <sys/stat.h>

#include <string_view>

#include "base/files.h"
#include "base/numbers.h"
#include "base/printable.h"

namespace holdfast::warden {

Result<std::vector<std::string>> ProcessesIn(const UniqueFd& pid_namespace) {
  struct stat ours = {};
  if (::fstat(pid_namespace.get(), &ours) != 0) return FailErrno("fstat");
  HOLDFAST_TRY(const std::vector<std::string> names, ListDirectory("/proc"));
  std::vector<std::string> found;
  for (const std::string& name : names) {
    struct stat theirs = {};
    if (ParseNumber<pid_t>(name) && ::stat(("/proc/" + name + "/ns/pid").c_str(), &theirs) == 0 &&
        theirs.st_ino == ours.st_ino)
      found.push_back(name);
  }
  return found;
}

std::optional<pid_t> InnermostPid(const std::string& status) {
  // At the beginning of a line: a process can call itself "NSpid:", but not with a line break.
  constexpr std::string_view kLine = "\nNSpid:";
  const size_t line = status.find(kLine);
  if (line == std::string::npos) return std::nullopt;
  const size_t end = status.find('\n', line + 1);
  const std::string_view ids =
      std::string_view(status).substr(line + kLine.size(), end - line - kLine.size());
  return ParseNumber<pid_t>(ids.substr(ids.rfind('\t') + 1));
}

std::string NameOfProcess(const std::string& place) {
  std::string name = ReadFile(place + "/comm").value_or("?");
  if (name.ends_with('\n')) name.pop_back();
  return Printable(name, Newlines::kEscape);
}

std::optional<pid_t> IdInPod(pid_t id) {
  const auto status = ReadFile("/proc/" + std::to_string(id) + "/status");
  return status ? InnermostPid(*status) : std::nullopt;
}

}  // namespace holdfast::warden
