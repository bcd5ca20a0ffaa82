#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/files.h"
#include "base/process.h"
#include "cli/doctor_probes.h"
#include "cli/doctor_rules.h"

namespace holdfast::cli {
namespace {

using std::chrono::seconds;

Check ExamineNamespaces() {
  std::vector<std::string> missing;
  for (const char* name : {"mnt", "uts", "ipc", "net", "pid", "time"})
    if (!FileExists(fmt::format("/proc/self/ns/{}", name))) missing.emplace_back(name);
  if (missing.empty()) return Ok("namespaces", "mnt, uts, ipc, net, pid, time");
  return Failed("namespaces", fmt::format("missing: {}", fmt::join(missing, ", ")),
                "use a kernel with CONFIG_NAMESPACES and these kinds enabled");
}

// Asks as a restore does: for faults in the kernel too, and to be told of forks and unmappings.
Check ExamineUserfaultfd() {
  if (!IsRoot()) return NotChecked("userfaultfd", "needs root");
  const UniqueFd fd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
  uffdio_api api{.api = UFFD_API,
                 .features = UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP |
                             UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMOVE,
                 .ioctls = 0};
  if (fd.valid() && ::ioctl(fd.get(), UFFDIO_API, &api) == 0)
    return Ok("userfaultfd", "restored jobs run while their memory comes");
  return Failed("userfaultfd",
                Error::Errno("userfaultfd").message() +
                    ": restored jobs wait until all of their memory is there",
                "use a kernel with CONFIG_USERFAULTFD, and a container that allows it");
}

Check ExaminePagemap() {
  const auto fd = OpenFile("/proc/self/pagemap", O_RDONLY);
  uint64_t entry = 0;
  if (fd && ReadFull(*fd, std::as_writable_bytes(std::span(&entry, 1))))
    return Ok("pagemap", "/proc/PID/pagemap is readable");
  return Failed("pagemap", fd ? "/proc/self/pagemap cannot be read" : fd.error().message(),
                "use a kernel with CONFIG_PROC_PAGE_MONITOR");
}

Check ExamineCheckpointRestore() {
  if (FileExists("/proc/sys/kernel/ns_last_pid"))
    return Ok("checkpoint/restore", "CONFIG_CHECKPOINT_RESTORE");
  return Failed("checkpoint/restore", "/proc/sys/kernel/ns_last_pid does not exist",
                "use a kernel with CONFIG_CHECKPOINT_RESTORE");
}

// Runs a command in a network namespace of its own, which goes with it.
Check TryInNetworkNamespace(const std::string& name, const std::vector<std::string>& argv,
                            const std::string& remedy) {
  if (!IsRoot()) return NotChecked(name, "needs root");
  const auto tried = RunHere(argv, CLONE_NEWNET);
  if (!tried) return NotChecked(name, tried.error().message());
  if (tried->status.ok()) return Ok(name, "works in a new network namespace");
  return Failed(name, tried->output.substr(0, tried->output.find('\n')), remedy);
}

}  // namespace

bool IsRoot() { return ::geteuid() == 0; }

Result<CommandOutput> RunHere(std::vector<std::string> argv, int unshare_flags) {
  // Not in every user's PATH.
  for (const char* directory : {"/usr/local/sbin", "/usr/sbin", "/sbin"}) {
    const std::string path = fmt::format("{}/{}", directory, argv[0]);
    if (argv[0].contains('/') || ::access(path.c_str(), X_OK) != 0) continue;
    argv[0] = path;
    break;
  }
  return RunCommand({.argv = argv, .cwd = "/", .unshare_flags = unshare_flags}, seconds(30));
}

Result<std::string> Output(const std::vector<std::string>& argv) {
  HOLDFAST_TRY(const CommandOutput result, RunHere(argv));
  if (!result.status.ok())
    return Fail(Code::kInternal, fmt::format("{}: {}: {}", argv[0], result.status.ToString(),
                                             result.output.substr(0, result.output.find('\n'))));
  return result.output;
}

std::string KernelRelease() {
  utsname name{};
  ::uname(&name);
  return name.release;
}

std::vector<Check> ExamineKernel() {
  return {JudgeKernel(KernelRelease()), ExamineNamespaces(), ExamineCheckpointRestore(),
          ExaminePagemap(), ExamineUserfaultfd()};
}

std::vector<Check> ExamineCriu(const std::string& criu) {
  const auto version = Output({criu, "--version"});
  if (!version)
    return {Failed("criu version", version.error().message(),
                   "install CRIU 4.2 or newer, or point node.criu of holdfast.yaml to one")};
  std::vector<Check> checks{JudgeCriuVersion(*version, KernelRelease())};
  if (!IsRoot()) {
    checks.push_back(NotChecked("criu check", "needs root"));
  } else if (const auto checked = RunHere({criu, "check"}); checked) {
    checks.push_back(JudgeCriuCheck(checked->status.ok(), checked->output));
  } else {
    checks.push_back(NotChecked("criu check", checked.error().message()));
  }
  return checks;
}

std::vector<Check> ExamineJobNetwork(uint16_t vxlan_port) {
  std::vector<Check> checks;
  const std::string port = fmt::format("{}", vxlan_port);
  checks.push_back(TryInNetworkNamespace(
      "vxlan", {"ip", "link", "add", "hf0", "type", "vxlan", "id", "1", "dstport", port},
      "load the kernel module vxlan (modprobe vxlan; /etc/modules-load.d keeps it)"));
  checks.push_back(TryInNetworkNamespace(
      "nftables", {"nft", "add table inet holdfast"},
      "load the kernel module nf_tables (modprobe nf_tables; /etc/modules-load.d keeps it)"));
  const auto sockets = ReadFile("/proc/net/udp");
  const auto first = ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start");
  if (!sockets || !first) {
    checks.push_back(NotChecked("job network port", (sockets ? first : sockets).error().message()));
  } else {
    checks.push_back(JudgeVxlanPort(
        vxlan_port, *sockets, static_cast<unsigned>(std::strtoul(first->c_str(), nullptr, 10))));
  }
  return checks;
}

Check ExamineOutside() {
  return TryInNetworkNamespace(
      "outside network", {"ip", "tuntap", "add", "out0", "mode", "tap"},
      "load the kernel module tun (modprobe tun; /etc/modules-load.d keeps it), or set "
      "node.outside_network: none, and jobs reach nothing but each other");
}

}  // namespace holdfast::cli
