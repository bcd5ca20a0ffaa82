// How many periodic checkpoints of one user's jobs begin in a second, however often they ask: many
// jobs that are saved all the time are no burden to anybody else's. Not thread-safe; the controller
// owns it.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <set>

#include "coordinator/timers.h"

namespace holdfast::coordinator {

class Pace {
 public:
  using Time = Timers::Time;
  // Twenty a second. Two thousand jobs that are saved every two minutes do not notice.
  static constexpr std::chrono::milliseconds kApart{50};

  // When the job may begin one that is due; if that is later, it is to ask again then.
  Time WhenMay(uid_t user, uint32_t job, Time now) {
    User& asking = users_[user];
    // All that were told to wait may go.
    if (asking.next <= now) asking.waited.clear();
    if (asking.waited.erase(job) != 0) return now;
    const Time when = std::max(asking.next, now);
    asking.next = when + kApart;
    if (when > now) asking.waited.insert(job);
    return when;
  }

 private:
  struct User {
    Time next{};                // when another one may begin
    std::set<uint32_t> waited;  // who need not ask anew
  };
  std::map<uid_t, User> users_;
};

}  // namespace holdfast::coordinator
