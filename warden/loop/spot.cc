#include "warden/loop/spot.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/process.h"
#include "warden/loop/operations.h"

namespace holdfast::warden {
namespace {

constexpr std::chrono::seconds kDrainTimeout{20};

Status RunDrain(const std::string& scontrol, const std::string& node, const std::string& reason) {
  HOLDFAST_TRY(const CommandOutput ran, RunCommand({.argv = {scontrol, "update", "NodeName=" + node,
                                                             "State=DRAIN", "Reason=" + reason}},
                                                   kDrainTimeout));
  if (ran.status.ok()) return {};
  return Fail(Code::kInternal, fmt::format("draining node {}: scontrol: {}: {}", node,
                                           ran.status.ToString(), ran.output));
}

}  // namespace

Spot::Spot(std::string node, Tell tell, std::string scontrol)
    : node_(std::move(node)), tell_(std::move(tell)), scontrol_(std::move(scontrol)) {}

Status Spot::Watch(const notices::Settings& settings) {
  HOLDFAST_TRY(watcher_, notices::Watcher::Start(settings, [this](const notices::Notice& notice) {
                 OnNotice(notice);
               }));
  return {};
}

void Spot::OnNotice(const notices::Notice& notice) {
  const std::string detail = fmt::format("{}: {}", notice.provider, notice.detail);
  const bool reclaim = notice.kind == notices::Notice::Kind::kReclaim;
  log::Warn(reclaim ? "reclaim" : "at-risk", {{"detail", detail}});
  tell_(MakeEvent(reclaim ? "reclaim" : "at-risk", 0, {}, detail));
  if (!reclaim) return;
  {
    const std::lock_guard lock(mutex_);
    reclaim_.emplace();
    reclaim_->set_kind(v1::Notice::SPOT);
    reclaim_->set_detail(detail);
    reclaim_->set_deadline_unix_ms(
        std::chrono::duration_cast<std::chrono::milliseconds>(notice.deadline.time_since_epoch())
            .count());
  }
  Repeat();
}

void Spot::Repeat() {
  v1::FromWarden message;
  {
    const std::lock_guard lock(mutex_);
    if (!reclaim_) return;
    *message.mutable_notice() = *reclaim_;
  }
  tell_(std::move(message));
}

void Spot::Drain(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  // Not on the caller's thread: slurmctld may take its time.
  drain_ = std::jthread([scontrol = scontrol_, node = node_, reason] {
    const Status drained = RunDrain(scontrol, node, reason);
    if (drained)
      log::Info("drained", {{"reason", reason}});
    else
      log::Failure("drain", drained.error());
  });
}

}  // namespace holdfast::warden
