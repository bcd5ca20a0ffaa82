#include "coordinator/rest_rates.h"

#include <algorithm>
#include <cmath>

namespace holdfast::coordinator {

void RestRates::Allow(uint32_t each_minute) {
  const std::lock_guard lock(mutex_);
  each_minute_ = each_minute;
  left_.clear();
}

std::optional<std::chrono::seconds> RestRates::Take(uid_t uid, Time now) {
  const std::lock_guard lock(mutex_);
  if (each_minute_ == 0) return std::nullopt;
  if (now - swept_ >= std::chrono::minutes(1)) {
    // Who has not asked for a minute may ask as often as somebody new.
    std::erase_if(left_, [&](const auto& each) {
      return now - each.second.since >= std::chrono::minutes(1);
    });
    swept_ = now;
  }
  Left& left = left_.try_emplace(uid, Left{.requests = each_minute_, .since = now}).first->second;
  const double minutes = std::chrono::duration<double, std::ratio<60>>(now - left.since).count();
  left.requests = std::min(each_minute_, left.requests + minutes * each_minute_);
  left.since = now;
  if (left.requests >= 1) {
    left.requests -= 1;
    return std::nullopt;
  }
  return std::chrono::seconds(
      std::max(1L, std::lround(std::ceil((1 - left.requests) * 60 / each_minute_))));
}

}  // namespace holdfast::coordinator
