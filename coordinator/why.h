// Why a job is not saved, was moved, is held, or waits, and what its user can do: what `holdfast
// why` answers, from what has been recorded of it. What a Reason means in words is in job.cc; what
// keeps a job from being saved at a moment is here, for whoever refuses that, too. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "coordinator/event.h"
#include "coordinator/job.h"

namespace holdfast::coordinator {

struct Obstacle {
  std::string what;
  std::string next;  // what its user can do

  // "it has not started yet; next: save it when it runs".
  std::string Text() const;
};
// What keeps it from being saved, or from what else is wished, at this moment.
std::optional<Obstacle> WhyNotNow(const Job& job);

// Errors say what to do about them after "next: ", at the end of the first line or in a line of its
// own. Empty if there is none.
std::string RemedyIn(const std::string& message);
std::string WithoutRemedy(const std::string& message);
// The message with what it has in a line of its own at the end of its first line instead, which is
// all that lists show; if it has none, with what the code suggests.
std::string RemedyFirst(const std::string& message, Code code);

// Names of `about` and `reason` are part of the REST API.
struct Explanation {
  const char* about;    // saved, moved, held, waits, ended
  std::string reason;   // of a Reason, of a Code, or a state
  std::string text;     // for people
  std::string next;     // what its user can do; empty if there is nothing to do
  int64_t unix_ns = 0;  // when that was; 0: it is so now
};
std::vector<Explanation> Explain(const Job& job, const History& history);

}  // namespace holdfast::coordinator
