// The controller's part in emptying nodes: evacuations.h says which, here it is done.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "coordinator/clock.h"
#include "coordinator/controller.h"

namespace holdfast::coordinator {
namespace {

void TellDrain(WardenLink& link, const Evacuation& evacuation) {
  const auto message = std::make_shared<v1::ToWarden>();
  message->mutable_drain()->set_reason(evacuation.reason);
  link.Send(message);
}

}  // namespace

std::shared_ptr<WardenLink> Controller::LinkOn(const std::string& node) const {
  for (const auto& [key, link] : links_) {
    const auto job = jobs_.find(key.first);
    if (job != jobs_.end() && key.second < job->second.nodes().size() &&
        job->second.nodes()[key.second] == node)
      return link;
  }
  return nullptr;
}

Result<std::vector<uint32_t>> Controller::Evacuate(Evacuation evacuation) {
  const Status drained = slurm_.Drain(evacuation.node, evacuation.reason);
  if (!drained && drained.error().code() != Code::kDenied) return std::unexpected(drained.error());
  const std::lock_guard lock(mutex_);
  evacuation.begun_ns = NowNs();
  if (!drained) {
    const std::shared_ptr<WardenLink> link = LinkOn(evacuation.node);
    if (!link)
      return Fail(
          Code::kNotFound,
          fmt::format("no checkpointed job runs on node {}; to keep others off it: scontrol "
                      "update NodeName={} State=DRAIN Reason=...",
                      evacuation.node, evacuation.node));
    TellDrain(*link, evacuation);
  }
  return BeginEvacuation(evacuation);
}

std::vector<Evacuation> Controller::Evacuated() {
  const std::lock_guard lock(mutex_);
  return evacuations_.List();
}

void Controller::OnSpotNotice(const v1::Hello& hello, const v1::Notice& notice) {
  const Evacuation evacuation{.node = hello.node(),
                              .cause = Reason::kSpot,
                              .reason = "holdfast: the cloud takes it back: " + notice.detail(),
                              .deadline_unix_ms = notice.deadline_unix_ms(),
                              .begun_ns = NowNs()};
  // Every second counts: saving begins before Slurm is asked.
  BeginEvacuation(evacuation);
  EnqueueDrain(evacuation);
}

std::vector<uint32_t> Controller::BeginEvacuation(const Evacuation& evacuation) {
  evacuations_.Begin(evacuation);
  metrics_.Add(Metric::kEvacuations, {ReasonName(evacuation.cause)});
  std::vector<uint32_t> concerned;
  for (const auto& [job_id, job] : jobs_)
    if (IsActive(job.stage) && std::ranges::contains(job.nodes(), evacuation.node))
      concerned.push_back(job_id);
  log::Info("evacuate", {{"node", evacuation.node},
                         {"cause", ReasonName(evacuation.cause)},
                         {"reason", evacuation.reason},
                         {"jobs", concerned.size()}});
  for (const uint32_t job_id : concerned)
    if (const Status posted = Post(job_id, WishOf(evacuation)); !posted)
      log::Failure("evacuate", posted.error(), {{"job", job_id}});
  return concerned;
}

void Controller::EnqueueDrain(const Evacuation& evacuation) {
  // Taken now: when Slurm has answered, the node's pods may be gone.
  const auto drain = [this, evacuation, link = LinkOn(evacuation.node)] {
    const Status drained = slurm_.Drain(evacuation.node, evacuation.reason);
    if (drained) return;
    if (drained.error().code() == Code::kDenied && link) return TellDrain(*link, evacuation);
    log::Failure("drain", drained.error(), {{"node", evacuation.node}});
  };
  lanes_.Push(Lane::kUrgent, "node " + evacuation.node, drain);
}

void Controller::PollNodes() {
  if (!evacuations_.watching() || polling_nodes_) return;
  polling_nodes_ = true;
  lanes_.Push(Lane::kPolling, "poll", [this] {
    const Result<std::vector<NodeRecord>> records = slurm_.LoadNodes();
    const std::lock_guard lock(mutex_);
    polling_nodes_ = false;
    if (!records) return log::Failure("poll-nodes", records.error());
    const Evacuations::Findings findings = evacuations_.Consider(*records, NowNs());
    for (const Evacuation& evacuation : findings.begun) BeginEvacuation(evacuation);
    for (const Evacuation& evacuation : findings.undrained) EnqueueDrain(evacuation);
  });
}

}  // namespace holdfast::coordinator
