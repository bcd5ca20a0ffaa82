// Time, chance and storage of a simulated cluster: everything happens on one thread, in the order
// of a clock that jumps from event to event, and every choice comes from one seed, so a run is
// repeated by its seed. Used by simulation_test.cc alone, as are the other files of this folder.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace holdfast::simulation {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using SteadyTime = std::chrono::steady_clock::time_point;

class Simulation {
 public:
  Simulation(uint32_t seed, bool tracing) : random_(seed), tracing_(tracing) {}

  int64_t now_ns() const { return now_.count(); }
  SteadyTime now() const { return SteadyTime(now_); }

  // Does it later, unless whose doing it is has ended by then.
  void After(milliseconds delay, std::weak_ptr<void> life, std::function<void()> what) {
    queue_.emplace(std::pair(now_ + delay, ++scheduled_), Item{std::move(life), std::move(what)});
  }
  void After(milliseconds delay, std::function<void()> what) {
    After(delay, life_, std::move(what));
  }
  // The next event. False: nothing will ever happen again, or what must not has happened.
  bool Advance() {
    if (queue_.empty() || violation_) return false;
    const auto next = queue_.begin();
    now_ = next->first.first;
    const Item item = std::move(next->second);
    queue_.erase(next);
    const auto life = item.life.lock();
    if (life && stopped_.contains(item.life))
      held_.push_back(item);
    else if (life)
      item.what();
    return true;
  }
  // Whose doing it is does nothing until it may go on; then, all that it would have done.
  void Stop(const std::weak_ptr<void>& life) { stopped_.insert(life); }
  void GoOn(const std::weak_ptr<void>& life) {
    stopped_.erase(life);
    for (Item& item : std::exchange(held_, {}))
      if (!stopped_.contains(item.life))
        After(milliseconds(0), item.life, std::move(item.what));
      else
        held_.push_back(std::move(item));
  }

  uint32_t Pick(uint32_t below) { return static_cast<uint32_t>(random_() % below); }
  bool Chance(double probability) {
    return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
  }
  // As Chance, until the faults are over.
  bool Fault(double probability) { return faults && Chance(probability); }
  // Short ones as likely as long ones, whatever the scale.
  milliseconds Between(milliseconds least, milliseconds most) {
    const double low = std::log(static_cast<double>(least.count() + 1));
    const double high = std::log(static_cast<double>(most.count() + 1));
    const double drawn = std::uniform_real_distribution<double>(low, high)(random_);
    return milliseconds(static_cast<int64_t>(std::exp(drawn)) - 1);
  }

  template <typename... T>
  void Trace(fmt::format_string<T...> format, T&&... values) const {
    if (!tracing_) return;
    fmt::print(stderr, "{:10.3f} {}\n", static_cast<double>((now_ - kBegin).count()) / 1e9,
               fmt::format(format, std::forward<T>(values)...));
  }
  // What must never happen has.
  void Violate(std::string what) {
    Trace("VIOLATION: {}", what);
    if (!violation_) violation_ = std::move(what);
  }
  const std::optional<std::string>& violation() const { return violation_; }

  bool faults = true;

 private:
  struct Item {
    std::weak_ptr<void> life;
    std::function<void()> what;
  };
  static constexpr std::chrono::nanoseconds kBegin{1'000'000'000'000'000};
  std::mt19937 random_;
  const bool tracing_;
  const std::shared_ptr<int> life_ = std::make_shared<int>();
  std::chrono::nanoseconds now_ = kBegin;
  uint64_t scheduled_ = 0;
  std::map<std::pair<std::chrono::nanoseconds, uint64_t>, Item> queue_;
  std::set<std::weak_ptr<void>, std::owner_less<>> stopped_;
  std::vector<Item> held_;  // of those
  std::optional<std::string> violation_;
};

// What is stored of the job.
struct Storage {
  std::set<uint32_t> committed;
  std::set<uint32_t> damaged;                     // of these: cannot be restored
  std::set<std::pair<uint32_t, uint32_t>> parts;  // (checkpoint, pod): durable
  std::map<uint32_t, uint32_t> start_of;          // a checkpoint was committed in that start
  uint32_t commits = 0;                           // ever
};

}  // namespace holdfast::simulation
