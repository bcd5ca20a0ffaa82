#include "warden/attributes/attributes.h"

#include <fmt/format.h>
#include <linux/ioprio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <optional>

#include "base/files.h"
#include "base/numbers.h"
#include "warden/attributes/sockets.h"
#include "warden/isolation/network_namespace.h"
#include "warden/isolation/pod_processes.h"
#include "warden_images/attributes.pb.h"

namespace holdfast::warden {
namespace {

// What a process has that did not ask for anything.
constexpr uint64_t kUsualSlackNs = 50'000;  // init/init_task.c of Linux
constexpr uint32_t kUsualCoredumpFilter = 0x33;

std::optional<uint64_t> ReadValue(const std::string& path, int base) {
  const auto text = ReadFile(path);
  if (!text || text->empty()) return std::nullopt;
  return std::strtoull(text->c_str(), nullptr, base);
}

Status WriteValue(const std::string& path, uint64_t value) {
  return WriteFile(path, std::to_string(value));
}

// A thread's own, also where /proc/PID/task has no such file.
std::string SlackOf(pid_t thread) { return fmt::format("/proc/{}/timerslack_ns", thread); }

Status DescribeThreads(const std::string& process, attributes::Attributes& all) {
  return ForEachThread(process, [&](pid_t id) -> Status {
    const uint64_t slack = ReadValue(SlackOf(id), 10).value_or(kUsualSlackNs);
    const long priority = ::syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, id);
    if (slack == kUsualSlackNs && priority <= 0) return {};
    const auto in_pod = IdInPod(id);
    if (!in_pod) return {};  // it has ended
    attributes::Thread& thread = *all.add_threads();
    thread.set_id(static_cast<uint32_t>(*in_pod));
    thread.set_timer_slack_ns(slack);
    if (priority > 0) thread.set_io_priority(static_cast<uint32_t>(priority));
    return {};
  });
}

Status RestoreThreads(const std::string& process,
                      const std::map<uint32_t, const attributes::Thread*>& saved) {
  if (saved.empty()) return {};
  return ForEachThread(process, [&](pid_t id) -> Status {
    const auto found = saved.find(static_cast<uint32_t>(IdInPod(id).value_or(0)));
    if (found == saved.end()) return {};
    const attributes::Thread& thread = *found->second;
    HOLDFAST_CHECK(WriteValue(SlackOf(id), thread.timer_slack_ns()));
    if (thread.io_priority() != 0 &&
        ::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, id, thread.io_priority()) != 0)
      return FailErrno(fmt::format("giving thread {} its I/O priority", thread.id()));
    return {};
  });
}

// Its id in the pod, or 0 if it has ended.
pid_t IdOf(const std::string& process) {
  return IdInPod(ParseNumber<pid_t>(process).value_or(-1)).value_or(0);
}

}  // namespace

Result<std::string> DescribeAttributes(const Pod& pod) {
  attributes::Attributes all;
  const ScopedNetworkNamespace inside(pod.network_namespace());
  HOLDFAST_CHECK(inside.status());
  SocketAttributes sockets;
  HOLDFAST_TRY(const auto processes, ProcessesIn(pod.pid_namespace()));
  for (const std::string& process : processes) {
    const auto id = static_cast<uint32_t>(IdOf(process));
    if (id <= 1) continue;  // the pod's own, or it has ended
    HOLDFAST_CHECK(DescribeThreads(process, all));
    const uint64_t filter =
        ReadValue("/proc/" + process + "/coredump_filter", 16).value_or(kUsualCoredumpFilter);
    if (filter != kUsualCoredumpFilter) {
      attributes::Process& described = *all.add_processes();
      described.set_id(id);
      described.set_coredump_filter(static_cast<uint32_t>(filter));
    }
    HOLDFAST_CHECK(sockets.Describe(process, id, all));
  }
  return all.SerializeAsString();
}

Status RestoreAttributes(const Pod& pod, const std::string& text) {
  attributes::Attributes all;
  if (!all.ParseFromString(text))
    return Fail(Code::kCorrupt, std::string("the image ") + kAttributesImage + " cannot be read");
  std::map<uint32_t, const attributes::Thread*> threads;
  for (const attributes::Thread& thread : all.threads()) threads.emplace(thread.id(), &thread);
  std::map<uint32_t, const attributes::Process*> described;
  for (const attributes::Process& process : all.processes())
    described.emplace(process.id(), &process);
  std::multimap<uint32_t, const attributes::Socket*> sockets;
  for (const attributes::Socket& socket : all.sockets()) sockets.emplace(socket.process(), &socket);

  const ScopedNetworkNamespace inside(pod.network_namespace());
  HOLDFAST_CHECK(inside.status());
  HOLDFAST_TRY(const auto processes, ProcessesIn(pod.pid_namespace()));
  for (const std::string& process : processes) {
    const auto id = static_cast<uint32_t>(IdOf(process));
    HOLDFAST_CHECK(RestoreThreads(process, threads));
    if (const auto found = described.find(id); found != described.end())
      HOLDFAST_CHECK(
          WriteValue("/proc/" + process + "/coredump_filter", found->second->coredump_filter()));
    const auto [first, last] = sockets.equal_range(id);
    for (auto socket = first; socket != last; ++socket)
      HOLDFAST_CHECK(RestoreSocket(process, *socket->second));
  }
  return {};
}

}  // namespace holdfast::warden
