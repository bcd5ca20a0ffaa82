#include "warden/attributes/attributes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>

#include "base/files.h"
#include "base/numbers.h"
#include "warden/attributes/policies.h"
#include "warden/attributes/sockets.h"
#include "warden/attributes/sysv.h"
#include "warden/criu/unseen.h"
#include "warden/isolation/network_namespace.h"
#include "warden/isolation/pod_processes.h"
#include "warden_images/attributes.pb.h"

namespace holdfast::warden {
namespace {

// What a process has that did not ask for anything.
constexpr uint64_t kUsualSlackNs = 50'000;  // init/init_task.c of Linux
constexpr uint32_t kUsualCoredumpFilter = 0x33;

constexpr uint32_t kSchedulingSize = 48;  // linux/sched/types.h: SCHED_ATTR_SIZE_VER0

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

// The calling thread's own: what processes have that the warden starts, or restores.
uint32_t UsualPersonality() { return static_cast<uint32_t>(::personality(0xffffffff)); }

sched_attr Scheduling(pid_t thread) {
  sched_attr all = {};
  if (::syscall(SYS_sched_getattr, thread, &all, sizeof all, 0) != 0) all.size = 0;
  return all;
}

// Of what sched_setattr(2) sets, CRIU restores policy, nice value and priority. Empty if the thread
// has nothing else; those of real-time policies are the administrator's.
std::string OddScheduling(pid_t thread) {
  static const uint64_t usual_slice = Scheduling(0).sched_runtime;
  sched_attr all = Scheduling(thread);
  if (all.sched_policy != SCHED_OTHER && all.sched_policy != SCHED_BATCH &&
      all.sched_policy != SCHED_IDLE)
    return "";
  if (all.sched_runtime == usual_slice) all.sched_runtime = 0;
  if (all.size == 0 || (all.sched_flags == 0 && all.sched_runtime == 0)) return "";
  all.size = kSchedulingSize;
  return std::string(reinterpret_cast<const char*>(&all), kSchedulingSize);
}

// ELF's class, its fifth byte (elf(5)). Calls are made in the place of 64-bit programs only.
bool Is32Bit(const std::string& process) {
  char header[5] = {};
  const auto program = OpenFile("/proc/" + process + "/exe", O_RDONLY);
  return program && ::pread(program->get(), header, sizeof header, 0) == sizeof header &&
         header[4] == 1;
}

Status DescribeThreads(const std::string& process, const Policies& policies,
                       attributes::Attributes& all) {
  const uint32_t usual_personality = UsualPersonality();
  return ForEachThread(process, [&](pid_t id) -> Status {
    const uint64_t slack = ReadValue(SlackOf(id), 10).value_or(kUsualSlackNs);
    const long priority = ::syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, id);
    const auto personality = static_cast<uint32_t>(
        ReadValue(fmt::format("/proc/{}/task/{}/personality", process, id), 16)
            .value_or(usual_personality));
    auto policy = policies.Of(process, id);
    std::string scheduling = OddScheduling(id);
    if (slack == kUsualSlackNs && priority <= 0 && personality == usual_personality && !policy &&
        scheduling.empty())
      return {};
    const auto in_pod = IdInPod(id);
    if (!in_pod) return {};  // it has ended
    attributes::Thread& thread = *all.add_threads();
    thread.set_id(static_cast<uint32_t>(*in_pod));
    thread.set_timer_slack_ns(slack);
    if (priority > 0) thread.set_io_priority(static_cast<uint32_t>(priority));
    if ((personality != usual_personality || policy || !scheduling.empty()) && Is32Bit(process))
      return Fail(
          Code::kUnsupported,
          fmt::format("process {} is a 32-bit program with a personality(2), a NUMA policy or a "
                      "sched_setattr(2) of its own, which it could not be given again: start it "
                      "without setarch, numactl and chrt",
                      *in_pod));
    if (personality != usual_personality) thread.set_personality(personality);
    if (policy) *thread.mutable_policy() = std::move(*policy);
    thread.set_scheduling(std::move(scheduling));
    return {};
  });
}

void DescribeUnseen(std::string_view records, attributes::Attributes& all) {
  for (; records.size() >= sizeof(Unseen); records.remove_prefix(sizeof(Unseen))) {
    Unseen found;
    std::memcpy(&found, records.data(), sizeof found);
    if (found.lock_flags != 0) {
      attributes::Lock& lock = *all.add_locks();
      lock.set_process(static_cast<uint32_t>(found.process));
      lock.set_flags(static_cast<uint32_t>(found.lock_flags));
      continue;
    }
    attributes::Undo& undo = *all.add_undos();
    undo.set_process(static_cast<uint32_t>(found.process));
    undo.set_set(static_cast<uint32_t>(found.undo.set));
    undo.set_number(static_cast<uint32_t>(found.undo.number));
    undo.set_value(static_cast<uint32_t>(found.undo.value));
    undo.set_adjustment(found.undo.adjustment);
  }
}

// The value stays, by way of one that leaves room; of all that is done the kernel remembers how to
// take one operation back.
LateCall GiveUndo(const attributes::Undo& undo) {
  const auto number = static_cast<unsigned short>(undo.number());
  const auto value = static_cast<short>(undo.value());
  const auto adjustment = static_cast<short>(undo.adjustment());
  const auto back = static_cast<short>(-adjustment);
  const sembuf lower = {number, static_cast<short>(-value), IPC_NOWAIT};
  const sembuf plain = {number, adjustment, IPC_NOWAIT};
  const sembuf remembered = {number, back, IPC_NOWAIT | SEM_UNDO};
  const sembuf raise = {number, value, IPC_NOWAIT};
  const sembuf operations[] = {lower, adjustment > 0 ? plain : remembered,
                               adjustment > 0 ? remembered : plain, raise};
  LateCall call{.thread = static_cast<int32_t>(undo.process()),
                .number = SYS_semop,
                .arguments = {undo.set(), 0, std::size(operations)},
                .pointer = 1,
                .size = sizeof operations};
  std::memcpy(call.data.data(), operations, sizeof operations);
  return call;
}

LateCall GiveScheduling(const attributes::Thread& thread) {
  LateCall call{.thread = static_cast<int32_t>(thread.id()),
                .number = SYS_sched_setattr,
                .pointer = 1,
                .size = kSchedulingSize};
  std::memcpy(call.data.data(), thread.scheduling().data(), kSchedulingSize);
  return call;
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

Result<attributes::Attributes> Parse(const std::string& text) {
  attributes::Attributes all;
  if (!all.ParseFromString(text))
    return Fail(Code::kCorrupt, std::string("the image ") + kAttributesImage + " cannot be read");
  return all;
}

}  // namespace

Result<std::string> DescribeAttributes(const Pod& pod, std::string_view unseen) {
  attributes::Attributes all;
  DescribeUnseen(unseen, all);
  HOLDFAST_CHECK(DescribeSysv(pod, all));
  const Policies policies;
  const ScopedNetworkNamespace inside(pod.network_namespace());
  HOLDFAST_CHECK(inside.status());
  SocketAttributes sockets;
  HOLDFAST_TRY(const auto processes, ProcessesIn(pod.pid_namespace()));
  for (const std::string& process : processes) {
    const auto id = static_cast<uint32_t>(IdOf(process));
    if (id <= 1) continue;  // the pod's own, or it has ended
    HOLDFAST_CHECK(DescribeThreads(process, policies, all));
    policies.DescribeAreas(process, id, all);
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

Result<std::string> LateCalls(const std::string& text) {
  HOLDFAST_TRY(const attributes::Attributes all, Parse(text));
  const Policies policies;
  std::string records;
  const auto add = [&](const std::optional<LateCall>& call) {
    if (call) records.append(reinterpret_cast<const char*>(&*call), sizeof *call);
  };
  for (const attributes::Thread& thread : all.threads()) {
    if (thread.scheduling().size() == kSchedulingSize) add(GiveScheduling(thread));
    if (thread.has_policy()) add(policies.Give(thread.id(), thread.policy()));
    if (thread.has_personality())
      add(LateCall{.thread = static_cast<int32_t>(thread.id()),
                   .number = SYS_personality,
                   .arguments = {thread.personality()}});
  }
  for (const attributes::Area& area : all.areas()) add(policies.Give(area));
  for (const attributes::Undo& undo : all.undos()) add(GiveUndo(undo));
  for (const attributes::Lock& lock : all.locks())
    add(LateCall{.thread = static_cast<int32_t>(lock.process()),
                 .number = SYS_mlockall,
                 .arguments = {lock.flags()}});
  return records;
}

Status RestoreAttributes(const Pod& pod, const std::string& text) {
  HOLDFAST_TRY(const attributes::Attributes all, Parse(text));
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
  return RestoreSysv(pod, all);
}

}  // namespace holdfast::warden
