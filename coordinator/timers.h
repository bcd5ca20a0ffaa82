// When which timer of which job is due. Not thread-safe; the controller owns it.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "coordinator/event.h"

namespace holdfast::coordinator {

class Timers {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Key = std::pair<uint32_t, TimerKind>;  // job

  // A timer that is armed already is due at the new time instead.
  void Arm(const Key& key, Time due) {
    Disarm(key);
    due_.emplace(key, due);
    order_.emplace(due, key);
  }
  void Disarm(const Key& key) {
    const auto armed = due_.find(key);
    if (armed == due_.end()) return;
    order_.erase({armed->second, key});
    due_.erase(armed);
  }
  void DisarmAll(uint32_t job_id) {
    for (auto armed = due_.lower_bound({job_id, TimerKind{}});
         armed != due_.end() && armed->first.first == job_id; armed = due_.erase(armed))
      order_.erase({armed->second, armed->first});
  }
  // When the next one is due.
  std::optional<Time> next() const {
    return order_.empty() ? std::nullopt : std::optional(order_.begin()->first);
  }
  // One that is due, which is then no longer armed.
  std::optional<Key> TakeDue(Time now) {
    if (order_.empty() || order_.begin()->first > now) return std::nullopt;
    const Key key = order_.begin()->second;
    Disarm(key);
    return key;
  }

 private:
  std::map<Key, Time> due_;
  std::set<std::pair<Time, Key>> order_;
};

}  // namespace holdfast::coordinator
