#include "warden/criu/dump_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <regex>
#include <sstream>
#include <string>

#include "base/files.h"
#include "base/numbers.h"

namespace holdfast::warden {
namespace {

// Of a line "NAME:\tVALUE" in /proc/PID/status.
std::string Field(const std::string& status, const std::string& name) {
  std::istringstream lines(status);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
  return "";
}

// /proc/PID/task/TID/... of another thread than the main one: at a restore files are opened before
// there are other threads.
bool IsThreadsFile(const std::string& path) {
  static const std::regex kPattern("/proc/([0-9]+)/task/([0-9]+)/.*");
  std::smatch match;
  return path.starts_with("/proc/") && std::regex_match(path, match, kPattern) &&
         match[1] != match[2];
}

// By what its parent learns of its end (clone(2)), which CRIU makes SIGCHLD; 0 is no signal.
int ExitSignal(const std::string& process) {
  // proc_pid_stat(5): the name, field 2, may have anything in it; this is field 38.
  const std::string stat = ReadFile(process + "/stat").value_or("");
  std::istringstream fields(stat.substr(std::min(stat.size(), stat.rfind(')') + 1)));
  std::string field;
  for (int number = 3; number <= 38; ++number)
    if (!(fields >> field)) return SIGCHLD;  // it has ended
  return ParseNumber<int>(field).value_or(SIGCHLD);
}

// What stands in the way; empty if nothing does. `proc`: the pod's; `root`: pod-root there.
std::string Obstacle(const std::string& proc, const std::string& pid, const std::string& root,
                     const std::string& user) {
  const std::string process = proc + "/" + pid;
  const std::string status = ReadFile(process + "/status").value_or("");
  if (Field(status, "PPid") == "1" && pid != root && !Field(status, "State").starts_with("Z"))
    return "is not below the job's first process, which is where CRIU looks (it was left behind by "
           "a process that an earlier version of Holdfast restored)\n  next: save again when it "
           "has "
           "ended";
  if (const std::string tracer = Field(status, "TracerPid"); !tracer.empty() && tracer != "0") {
    const std::string by = ReadFile(proc + "/" + tracer + "/status").value_or("");
    return fmt::format(
        "is traced by process {} ({})\n  next: run it without strace or debugger, or save when "
        "that has ended",
        tracer, Field(by, "Name"));
  }
  if (Field(status, "State").starts_with("Z") &&
      ParseNumber<int>(Field(status, "Threads")).value_or(0) > 1)
    return "has lost its main thread (pthread_exit in main), and others go on\n  next: let the "
           "main "
           "thread wait for the others (pthread_join)";
  if (const int signal = ExitSignal(process); signal != SIGCHLD)
    return fmt::format(
        "was made so that its end sends {} instead of SIGCHLD (clone(2)), which CRIU cannot save\n"
        "  next: save again when it has ended",
        signal == 0 ? "no signal" : "signal " + std::to_string(signal));
  if (const auto space = ReadLink(process + "/ns/user"); space && *space != user)
    return "is in a container (user namespace) in the job\n  next: save when that has ended";
  for (const std::string& fd : ListDirectory(process + "/fd").value_or(std::vector<std::string>()))
    if (const std::string path = ReadLink(process + "/fd/" + fd).value_or(""); IsThreadsFile(path))
      return "has " + path +
             " open, a file of one of its threads, which cannot be opened before that is there\n  "
             "next: open it each time it is read, or save when it is closed";
  return "";
}

}  // namespace

Status CheckProcesses(const Pod& pod) {
  HOLDFAST_TRY(const std::string user, ReadLink(pod.proc_path() + "/1/ns/user"));
  HOLDFAST_TRY(const auto processes, ListDirectory(pod.proc_path()));
  const std::string root = std::to_string(pod.root_pid());
  for (const std::string& pid : processes) {
    if (!ParseNumber<pid_t>(pid) || pid == "1") continue;
    const std::string why = Obstacle(pod.proc_path(), pid, root, user);
    if (why.empty()) continue;
    const std::string name =
        Field(ReadFile(pod.proc_path() + "/" + pid + "/status").value_or(""), "Name");
    return Fail(
        Code::kUnsupported,
        fmt::format("the job cannot be saved now\n  why:  process {} ({}) {}", pid, name, why));
  }
  return {};
}

}  // namespace holdfast::warden
