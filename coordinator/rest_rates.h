// How many requests a user may make: so many each minute, all at once if they like. Thread-safe.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

namespace holdfast::coordinator {

class RestRates {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // 0: as many as they like.
  void Allow(uint32_t each_minute);
  // Counts one. If it is one too many: how long until there may be another.
  std::optional<std::chrono::seconds> Take(uid_t uid, Time now);

 private:
  struct Left {
    double requests = 0;
    Time since;
  };
  std::mutex mutex_;
  double each_minute_ = 0;
  std::map<uid_t, Left> left_;  // of those who have asked within a minute
  Time swept_;
};

}  // namespace holdfast::coordinator
