#include "cli/doctor_rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <chrono>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/duration.h"

namespace holdfast::cli {
namespace {

// close_range(2) with CLOSE_RANGE_CLOEXEC, which base/process.cc starts every child with.
constexpr Version kMinKernel{5, 11, 0};
// 4.2 changed the page-server protocol, which warden/criu speaks.
constexpr Version kMinCriu{4, 2, 0};
// From here on, getsockopt(SO_PASSCRED) fails on inet sockets, and older CRIU relies on it.
constexpr Version kPassCredKernel{6, 16, 0};
// Job networks accept packets only from ports below (warden/isolation/firewall.cc).
constexpr unsigned kFirstUnprivileged = 1024;

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::vector<std::string> Lines(std::string_view text) {
  std::vector<std::string> lines;
  std::istringstream stream{std::string(text)};
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> Words(const std::string& line) {
  std::vector<std::string> words;
  std::istringstream stream(line);
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::string Value(const SlurmConfig& config, std::string_view key) {
  const auto found = config.find(key);
  return found == config.end() ? "" : found->second;
}

// "KEY=VALUE" among the words of a record of `scontrol --oneliner`.
std::string Field(const std::vector<std::string>& words, std::string_view key) {
  for (const auto& word : words)
    if (word.starts_with(key) && word.size() > key.size() && word[key.size()] == '=')
      return word.substr(key.size() + 1);
  return "";
}

}  // namespace

std::string Version::ToString() const { return fmt::format("{}.{}.{}", major, minor, patch); }

std::optional<Version> FindVersion(std::string_view text) {
  for (size_t start = 0; start < text.size(); ++start) {
    if (std::isdigit(static_cast<unsigned char>(text[start])) == 0) continue;
    unsigned parts[3] = {0, 0, 0};
    size_t count = 0;
    const char* at = text.data() + start;
    const char* const end = text.data() + text.size();
    while (count < 3) {
      const auto [next, error] = std::from_chars(at, end, parts[count]);
      if (error != std::errc()) break;
      ++count;
      at = next;
      if (at == end || *at != '.') break;
      ++at;
    }
    if (count >= 2) return Version{parts[0], parts[1], parts[2]};
    while (start < text.size() && std::isdigit(static_cast<unsigned char>(text[start])) != 0)
      ++start;
  }
  return std::nullopt;
}

Check JudgeKernel(std::string_view release) {
  const auto version = FindVersion(release);
  if (version && *version >= kMinKernel) return Ok("kernel", std::string(release));
  return Failed("kernel", fmt::format("{}: too old", release),
                fmt::format("use Linux {} or newer", kMinKernel.ToString()));
}

Check JudgeCriuVersion(std::string_view version_output, std::string_view kernel_release) {
  const auto version = FindVersion(version_output);
  if (!version)
    return Failed("criu version", fmt::format("criu --version says '{}'", Trim(version_output)),
                  "install CRIU 4.2 or newer, or point node.criu of holdfast.yaml to one");
  if (*version >= kMinCriu) return Ok("criu version", version->ToString());
  const auto kernel = FindVersion(kernel_release);
  std::string why = fmt::format(
      "CRIU {} is too old: it speaks another page-server protocol than 4.2, with 32-bit page "
      "counts",
      version->ToString());
  if (kernel && *kernel >= kPassCredKernel)
    why += fmt::format(
        "; and on this kernel, {}, it cannot save any network socket (getsockopt SO_PASSCRED fails "
        "since Linux 6.16)",
        kernel_release);
  return Failed("criu version", why,
                "install CRIU 4.2 or newer (Debian: from testing), or point node.criu of "
                "holdfast.yaml to one");
}

Check JudgeCriuCheck(bool succeeded, std::string_view output) {
  if (succeeded) return Ok("criu check", "looks good");
  std::vector<std::string> errors;
  for (const auto& line : Lines(output))
    if (line.find("Error") != std::string::npos) errors.emplace_back(Trim(line));
  return Failed("criu check",
                errors.empty() ? std::string(Trim(output)) : fmt::format("{}", errors.front()),
                "run `criu check` as root; it names the kernel option that is missing");
}

SlurmConfig ParseSlurmConfig(std::string_view text) {
  SlurmConfig config;
  for (const auto& line : Lines(text)) {
    const size_t equals = line.find('=');
    if (equals == std::string::npos) continue;
    config.emplace(Trim(std::string_view(line).substr(0, equals)),
                   Trim(std::string_view(line).substr(equals + 1)));
  }
  return config;
}

std::vector<Check> JudgeSlurmConfig(const SlurmConfig& config) {
  std::vector<Check> checks;
  const std::string tracking = Value(config, "ProctrackType");
  checks.push_back(
      tracking == "proctrack/cgroup"
          ? Ok("slurm process tracking", tracking)
          : Failed("slurm process tracking", fmt::format("ProctrackType={}", tracking),
                   "set ProctrackType=proctrack/cgroup in slurm.conf: with any other, Slurm sends "
                   "its preemption signal to the job's own processes and loses those in a pod"));
  const std::string preempt = Value(config, "PreemptMode");
  const std::string type = Value(config, "PreemptType");
  if (preempt.find("REQUEUE") != std::string::npos) {
    checks.push_back(Ok("slurm preemption", fmt::format("{}, PreemptMode={}", type, preempt)));
  } else if (preempt == "OFF") {
    checks.push_back(Ok("slurm preemption", "off; jobs can still be saved and moved by hand"));
  } else if (preempt.find("CANCEL") != std::string::npos) {
    checks.push_back(Ok("slurm preemption",
                        fmt::format("{}, PreemptMode={}: jobs that it ends go on all the same, "
                                    "unless holdfast.yaml says preemption.cancelled_jobs: end",
                                    type, preempt)));
  } else {
    checks.push_back(Failed("slurm preemption", fmt::format("PreemptMode={}", preempt),
                            "set PreemptMode=REQUEUE in slurm.conf and on the partitions whose "
                            "jobs are to survive preemption"));
  }
  return checks;
}

Check JudgePartitions(std::string_view text, const SlurmConfig& config) {
  const auto seconds = [](const std::string& value) {
    unsigned number = 0;
    std::from_chars(value.data(), value.data() + value.size(), number);
    return number;
  };
  // Slurm waits no less than five seconds (slurmd/req.c).
  const unsigned kill_wait = std::max(seconds(Value(config, "KillWait")), 5U);
  if (Value(config, "PreemptType") == "preempt/qos")
    return Ok("slurm time to save",
              fmt::format("{} s (KillWait), or the GraceTime of a job's QOS where that is longer "
                          "(sacctmgr show qos)",
                          kill_wait));
  std::vector<std::string> partitions;
  for (const auto& line : Lines(text)) {
    const auto words = Words(line);
    const std::string mode = Field(words, "PreemptMode");
    if (mode.find("REQUEUE") == std::string::npos && mode.find("CANCEL") == std::string::npos)
      continue;
    const unsigned grace = seconds(Field(words, "GraceTime"));
    partitions.push_back(fmt::format("{} {} s{}", Field(words, "PartitionName"),
                                     std::max(grace, kill_wait),
                                     grace > kill_wait ? "" : " (KillWait)"));
  }
  return Ok("slurm time to save", partitions.empty()
                                      ? "no partition's jobs are preempted"
                                      : fmt::format("{}; `holdfast show` says what a job takes",
                                                    fmt::join(partitions, ", ")));
}

PlugStack ParsePlugStack(std::string_view text) {
  PlugStack stack;
  for (const auto& line : Lines(text)) {
    const auto words = Words(line.substr(0, line.find('#')));
    if (words.size() < 2) continue;
    if (words[0] == "include") {
      stack.includes.push_back(words[1]);
    } else if ((words[0] == "required" || words[0] == "optional") &&
               words[1].substr(words[1].rfind('/') + 1) == "holdfast.so") {
      stack.plugin = words[1];
    }
  }
  return stack;
}

Check JudgePluginVersion(uint32_t plugin_version, std::string_view slurm) {
  // SLURM_VERSION_NUM of <slurm/slurm.h>: a byte each.
  const Version built{plugin_version >> 16 & 0xff, plugin_version >> 8 & 0xff,
                      plugin_version & 0xff};
  const auto running = FindVersion(slurm);
  if (running && running->major == built.major && running->minor == built.minor)
    return Ok("slurm plugin version",
              fmt::format("built for {}, Slurm is {}", built.ToString(), running->ToString()));
  return Failed("slurm plugin version",
                fmt::format("built for Slurm {}, but this is '{}': Slurm will not load it",
                            built.ToString(), Trim(slurm)),
                "build and install Holdfast against this machine's Slurm");
}

Check JudgeTimes(const nlohmann::json& jobs) {
  const std::string name = "time that saves take";
  int64_t longest_ns = 0, least_ns = std::numeric_limits<int64_t>::max();
  size_t measured = 0;
  std::vector<std::string> late;
  for (const auto& job : jobs.value("jobs", nlohmann::json::array())) {
    const auto times = job.value("times", nlohmann::json());
    if (!times.is_object()) continue;
    const auto suffices = times.value("notice_suffices", nlohmann::json());
    const auto takes = times.value("to_safe_longest_ns", nlohmann::json());
    const auto has = times.value("notice_ns", nlohmann::json());
    if (!suffices.is_boolean() || !takes.is_number() || !has.is_number()) continue;
    ++measured;
    const auto takes_ns = takes.get<int64_t>(), has_ns = has.get<int64_t>();
    longest_ns = std::max(longest_ns, takes_ns);
    least_ns = std::min(least_ns, has_ns);
    if (!suffices.get<bool>())
      late.push_back(fmt::format("job {} takes {} and has {}", job.value("job_id", 0U),
                                 FormatDuration(std::chrono::nanoseconds(takes_ns)),
                                 FormatDuration(std::chrono::nanoseconds(has_ns))));
  }
  if (measured == 0) return NotChecked(name, "no running job that you may see has been saved yet");
  if (late.empty())
    return Ok(name, fmt::format("{} at most ({} running job{}), and Slurm leaves {} at least",
                                FormatDuration(std::chrono::nanoseconds(longest_ns)), measured,
                                measured == 1 ? "" : "s",
                                FormatDuration(std::chrono::nanoseconds(least_ns))));
  return Failed(name, fmt::format("{} of {}: {}", late.size(), measured, fmt::join(late, ", ")),
                "raise KillWait, or GraceTime of the partition, or have such jobs saved more often "
                "(--checkpoint=TIME): what they did since is lost with their nodes");
}

Check JudgeHealth(const nlohmann::json& health) {
  const std::string name = "coordinator";
  const std::string version = health.value("version", "");
  if (FindVersion(version) != FindVersion(HOLDFAST_VERSION))
    return Failed(name,
                  fmt::format("version {}, but this machine has {}", version, HOLDFAST_VERSION),
                  "install the same version everywhere, the coordinator's first");
  if (const std::string slurm = health.value("slurm", ""); slurm != "ok")
    return Failed(name, fmt::format("it cannot reach Slurm: {}", slurm),
                  "look at slurmctld, and at the coordinator's log");
  if (const std::string journal = health.value("journal", "ok"); journal != "ok")
    return Failed(name, fmt::format("it cannot write its journal: {}", journal),
                  "make room in coordinator.state_directory on its machine; do not restart it "
                  "before, for what it could not write is in its memory");
  return Ok(name, fmt::format("version {}, reaches Slurm", version));
}

Check JudgeSiteKey(const std::string& path, uid_t owner, unsigned mode,
                   const std::optional<std::string>& contents) {
  const std::string name = "site key";
  if (owner != 0 || (mode & 0177) != 0)
    return Failed(name, fmt::format("{} belongs to uid {} with mode {:04o}", path, owner, mode),
                  fmt::format("chown root:root {0} && chmod 0400 {0}; if others may have read it, "
                              "make a new one: checkpoints made with the old are refused then",
                              path));
  if (!contents) return NotChecked(name, fmt::format("{}: contents need root", path));
  const std::string_view key = Trim(*contents);
  if (key.size() != 64 ||
      !std::ranges::all_of(key, [](unsigned char c) { return std::isxdigit(c) != 0; }))
    return Failed(name, fmt::format("{} does not hold 64 hexadecimal digits", path),
                  "copy it from another node, or make one as docs/operations/install.md says");
  return Ok(name, path);
}

Check JudgeVxlanPort(uint16_t port, std::string_view proc_net_udp, unsigned first_unprivileged) {
  const std::string name = "job network port";
  if (first_unprivileged < kFirstUnprivileged)
    return Failed(name,
                  fmt::format("any user may send from ports that should be root's: "
                              "net.ipv4.ip_unprivileged_port_start is {}",
                              first_unprivileged),
                  "sysctl net.ipv4.ip_unprivileged_port_start=1024; wardens refuse to make job "
                  "networks otherwise");
  for (const auto& line : Lines(proc_net_udp)) {
    const auto words = Words(line);  // proc(5): sl local_address ... inode is the tenth
    if (words.size() < 10) continue;
    if (words[1].ends_with(fmt::format(":{:04X}", port)) && words[9] != "0")
      return Failed(name, fmt::format("UDP {} is in use by a process", port),
                    "end it (ss -ulpn shows which), or choose another node.vxlan_port below 1024 "
                    "on all nodes");
  }
  return Ok(name, fmt::format("UDP {} is free for job networks", port));
}

}  // namespace holdfast::cli
