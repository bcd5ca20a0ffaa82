// What the warden says to the coordinator and to the task beside it: Lifecycle of lifecycle.h.
#include <fmt/format.h>

#include <utility>

#include "base/log.h"
#include "protocol/munge.h"
#include "warden/loop/lifecycle.h"

namespace holdfast::warden {

void Lifecycle::SayHello() {
  const auto phase = PhaseOf(state_);
  if (!phase) {
    channel_.WithdrawHello();
    return;
  }
  v1::Hello hello;
  const pod::WardenEnvironment& environment = job_.environment;
  hello.set_protocol(protocol::kProtocolVersion);
  hello.set_cluster(environment.cluster);
  hello.set_job_id(environment.job_id);
  hello.set_submitted(environment.submitted);
  hello.set_restart_count(environment.restart_count);
  hello.set_pod(environment.pod);
  hello.set_pods(environment.pods);
  hello.set_node(environment.node);
  hello.set_address(job_.underlay.address);
  hello.set_mtu(job_.underlay.mtu);
  hello.set_uid(environment.owner.uid);
  hello.set_gid(environment.owner.gid);
  hello.set_job_options(EncodeOptions(job_.options));
  hello.set_phase(*phase);
  hello.set_asks_before_commit(true);
  hello.set_checkpoint(checkpoint_);
  hello.set_warning_seconds(job_.environment.warning_seconds);
  hello.set_notice_seconds(static_cast<uint32_t>(job_.notice_time.count()));
  if (AwaitsVerdict(state_)) *hello.mutable_prepared() = operations_.prepared();
  if (job_.pod() == 0) {
    for (const v1::Saved& saved : operations_.saved()) *hello.add_saved() = saved;
    for (const v1::Damaged& damaged : operations_.damaged()) *hello.add_damaged() = damaged;
    hello.set_committed(operations_.committed());
  }
  channel_.SetHello(std::move(hello));
}

void Lifecycle::SayStored() {
  asked_ = now_();
  v1::FromWarden message;
  message.mutable_stored()->set_checkpoint(checkpoint_);
  message.mutable_stored()->set_round(++round_);
  channel_.Send(std::move(message));
}

void Lifecycle::SayFailed() {
  v1::FromWarden message;
  *message.mutable_failed() = *failed_;
  channel_.Send(std::move(message));
}

void Lifecycle::SaySettled() {
  if (verdict_.checkpoint() != 0) {
    v1::FromWarden message;
    message.mutable_settled()->set_checkpoint(verdict_.checkpoint());
    message.mutable_settled()->set_how(verdict_.how());
    channel_.Send(std::move(message));
  }
  if (state_ == State::kReleased) {
    if (const Status told =
            link_.Send({.type = pod::FrameType::kReleased, .leave = verdict_.leave()});
        !told)
      log::Failure("released", told.error());
  }
  if (!std::exchange(tidy_, false)) return;
  Background("tidy", [this] { return operations_.Tidy(); });
}

void Lifecycle::SayEnded() {
  v1::FromWarden message;
  *message.mutable_ended() = *ended_;
  channel_.Send(std::move(message));
}

pod::Frame Lifecycle::Farewell() const {
  if (!ended_) return {.type = pod::FrameType::kEnded};
  if (!ended_->message().empty())
    return {.type = pod::FrameType::kFailed,
            .message = fmt::format("node {}: {}", job_.environment.node, ended_->message())};
  return {.type = pod::FrameType::kEnded,
          .status = {.code = ended_->exit_code(), .signal = ended_->signal()},
          .out_of_memory = out_of_memory_};
}

}  // namespace holdfast::warden
