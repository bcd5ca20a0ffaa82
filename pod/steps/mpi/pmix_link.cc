#include "pod/steps/mpi/pmix_link.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/files.h"
#include "base/process.h"
#include "pod/pod_directory.h"

namespace holdfast::pod {
namespace {

constexpr int kLinkFd = 3;

const std::vector<std::string> kEnvironment = {
    // No credentials of munged, which is outside of the pod: the kernel's word is enough.
    "PMIX_MCA_psec=native",
    // None of hwloc's plugins, which look for graphics cards: they take most of the time, and
    // libraries that would have to be alike wherever the job goes.
    "HWLOC_PLUGINS_PATH=/dev/null",
};

std::unexpected<Error> NotStarted(const DaemonOrder& order, const std::string& why) {
  return Fail(Code::kUnavailable, "no PMIx server on " + order.host + ": " +
                                      why.substr(0, why.find('\n')) +
                                      ": the nodes need the package of libpmix.so.2");
}

}  // namespace

std::string PmixDirectory(const DaemonOrder& order) {
  return "/tmp/pmix." + std::to_string(order.job) + "." + std::to_string(order.step);
}

Result<PmixLink> PmixLink::Start(const DaemonOrder& order) {
  HOLDFAST_CHECK(MakeDirectories(PmixDirectory(order), 0700));
  HOLDFAST_TRY(auto ends, MakeSocketPair(SOCK_STREAM));
  // What it says; the loader's complaints among it.
  HOLDFAST_TRY(const UniqueFd said, FileInMemory(""));
  HOLDFAST_TRY(Process process, Process::Spawn({.argv = {kPmixPath, std::to_string(kLinkFd)},
                                                .env = kEnvironment,
                                                .fds = {{ends.second.get(), kLinkFd},
                                                        {said.get(), STDOUT_FILENO},
                                                        {said.get(), STDERR_FILENO}},
                                                .new_session = true}));
  ends.second.Reset();
  PmixLink link(std::move(ends.first));
  link.socket_.Queue(RshFrame::kRunStep, Serialize(order));
  while (true) {
    link.socket_.Pump();
    const auto ready = link.socket_.Next();
    if (ready && ready->type == RshFrame::kPmixReady) {
      HOLDFAST_CHECK(link.TakeEnvironments(ready->data, order.tasks.size()));
      process.Release();
      return link;
    }
    if (link.socket_.closed()) {
      HOLDFAST_TRY(const ExitStatus status, process.Wait());
      const auto words = ReadFile("/proc/self/fd/" + std::to_string(said.get()));
      return NotStarted(order, words && !words->empty() ? *words : status.ToString());
    }
    pollfd polled{.fd = link.socket_.fd(), .events = link.socket_.events(), .revents = 0};
    ::poll(&polled, 1, -1);
  }
}

Status PmixLink::TakeEnvironments(std::string_view bytes, size_t tasks) {
  FieldReader reader(bytes);
  std::vector<std::vector<std::string>> all(tasks);
  for (auto& environment : all) environment = reader.Texts();
  if (!reader.complete() || tasks == 0)
    return Fail(Code::kCorrupt, "the PMIx server's answer is malformed");
  const auto everywhere = [&](const std::string& variable) {
    return std::ranges::all_of(all, [&](const std::vector<std::string>& environment) {
      return std::ranges::contains(environment, variable);
    });
  };
  std::ranges::copy_if(all[0], std::back_inserter(common_), everywhere);
  for (auto& environment : all)
    std::erase_if(environment,
                  [&](const std::string& v) { return std::ranges::contains(common_, v); });
  of_tasks_ = std::move(all);
  return {};
}

}  // namespace holdfast::pod
