// One stream between a warden and the coordinator. Messages arrive in order, if they arrive: when
// the connection is cut, those on their way are lost, and each end notices by itself, within the
// time of its keepalive.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "protocol/holdfast.pb.h"
#include "tests/unit/coordinator/simulation/simulation.h"

namespace holdfast::simulation {

// The keepalives of warden/loop/channel.cc and coordinator/warden_service.cc.
constexpr milliseconds kKeepalive = 10s;

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct End {
    std::weak_ptr<void> life;
    std::function<void(const v1::FromWarden&)> hear_warden;
    std::function<void(const v1::ToWarden&)> hear_coordinator;
    std::function<void()> lost;
  };

  Connection(Simulation& sim, v1::Hello said) : hello(std::move(said)), sim_(sim) {}

  void ToCoordinator(const v1::FromWarden& message) {
    Deliver(coordinator, sent_up_, [this, message] {
      if (coordinator.hear_warden) coordinator.hear_warden(message);
    });
  }
  void ToWarden(const v1::ToWarden& message) {
    Deliver(warden, sent_down_, [this, message] {
      if (warden.hear_coordinator) warden.hear_coordinator(message);
    });
  }

  // `most`: how long it may take an end to notice.
  void Cut(milliseconds most = kKeepalive) {
    if (std::exchange(cut_, true)) return;
    for (End* end : {&warden, &coordinator})
      sim_.After(sim_.Between(0ms, most), end->life, [self = shared_from_this(), end] {
        if (const auto lost = std::exchange(end->lost, nullptr)) lost();
      });
  }
  bool cut() const { return cut_; }

  const v1::Hello hello;
  End warden;
  End coordinator;

 private:
  void Deliver(End& end, SteadyTime& last, std::function<void()> deliver) {
    if (cut_) return;
    // Most are fast. Some take as long as a network may need that still keeps the connection.
    const milliseconds delay =
        sim_.Fault(0.03) ? sim_.Between(1ms, kKeepalive) : sim_.Between(0ms, 20ms);
    last = std::max(last, sim_.now() + delay);
    const auto wait = std::chrono::duration_cast<milliseconds>(last - sim_.now());
    const int times = sim_.Fault(0.01) ? 2 : 1;
    for (int i = 0; i < times; ++i)
      sim_.After(wait, end.life, [self = shared_from_this(), deliver] {
        if (!self->cut_) deliver();
      });
  }

  Simulation& sim_;
  bool cut_ = false;
  SteadyTime sent_up_, sent_down_;
};

}  // namespace holdfast::simulation
