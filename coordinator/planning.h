// How often a job is saved if it says `--checkpoint=auto`, and how long saving it would take. Pure;
// used by the state machine whenever the job goes on, so that every checkpoint improves the plan
// for the next.
//
// Two things bound the interval from above. Saving costs time, and so does repeating what was not
// saved: the interval that loses least is Young's [1] in Daly's refinement [2], from what the job's
// checkpoints have cost and how often jobs of its size are interrupted. And a notice leaves only so
// much time: what the job has changed since it was last saved must not take longer to store than
// that.
//
// [1] J. W. Young: A first order approximation to the optimum checkpoint interval.
//     Communications of the ACM 17 (1974), no. 9, pp. 530-531.
// [2] J. T. Daly: A higher order estimate of the optimum checkpoint interval for restart dumps.
//     Future Generation Computer Systems 22 (2006), no. 3, pp. 303-312, equation 37.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace holdfast::coordinator {

using Seconds = std::chrono::duration<double>;
inline constexpr Seconds kForever{std::numeric_limits<double>::infinity()};

// What one committed checkpoint of the job has cost.
struct Cost {
  Seconds ran{0};  // how long the job had run since it was last saved or started; 0: unknown
  // From its cause to the commit. With a pre-copy that is longer than a notice's would be.
  Seconds to_safe{0};
  // From its cause, or the end of the pre-copy, until the job went on; to the commit if it left its
  // nodes.
  Seconds stopped{0};
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;
  bool first = false;  // of the job: everything was new

  bool operator==(const Cost&) const = default;
};
// How many of the newest are kept: enough to average, few enough to follow a program into its next
// phase.
inline constexpr size_t kCostsKept = 8;

// What has become of all checkpointed jobs of the cluster.
struct Interruptions {
  uint64_t count = 0;    // preemptions, notices of the cloud, lost nodes
  Seconds node_time{0};  // that jobs have run, each on each of its nodes
};

// The site's settings (config.h, `checkpoint`).
struct PlanLimits {
  Seconds shortest{std::chrono::minutes(2)};
  Seconds longest{std::chrono::hours(2)};
  // Between interruptions, until it is known better.
  Seconds node_lifetime{std::chrono::hours(7 * 24)};
};

// How long it takes until the job is safe, by how long it has run since it was last saved:
// fixed + seconds_per_byte * min(bytes_per_second * ran, limit_bytes).
struct TimeToSafe {
  bool known = false;         // there has been a checkpoint
  bool growth_known = false;  // and one that followed another; until then everything counts as new
  Seconds fixed{0};
  double seconds_per_byte = 0;
  double bytes_per_second = 0;  // that come to be stored
  double limit_bytes = 0;       // no more than the job has

  Seconds After(Seconds ran) const;
  // For how long the job may run so that it is safe within `budget`; 0: not at all, or kForever.
  Seconds LongestWithin(Seconds budget) const;
};
TimeToSafe EstimateTimeToSafe(const std::vector<Cost>& costs);

// The interval between checkpoints that each cost so much, under interruptions at random, so long
// apart on average. At least 0; kForever without interruptions.
Seconds YoungDaly(Seconds cost, Seconds between_interruptions);
// Between interruptions of a job on so many nodes: those observed, with one more node that was
// interrupted after `node_lifetime`. That is the mean of a rate with a gamma prior of weight one.
Seconds BetweenInterruptions(const Interruptions& observed, Seconds node_lifetime, size_t nodes);

// Why the interval is what it is. The names are part of the REST API.
enum class Basis {
  kNone,      // no periodic checkpoints
  kFixed,     // the job or the site says so
  kFirst,     // nothing is known yet: a first checkpoint soon
  kLearning,  // a whole one takes longer than the notice, and how much changes is not known yet
  kYoungDaly,
  kNotice,    // shorter than Young/Daly, so that the notice suffices
  kShortest,  // Young/Daly would be shorter
  kLongest,   // Young/Daly would be longer
};
const char* BasisName(Basis basis);

struct Plan {
  Seconds interval{0};  // 0: none
  Basis basis = Basis::kNone;
  Seconds cost{0};                   // of a checkpoint to the job
  Seconds between_interruptions{0};  // of this job
  Seconds notice{0};                 // 0: nobody gives any
  TimeToSafe to_safe;

  // At the end of the interval, the job is safe before the notice is over.
  bool notice_suffices() const;
  // For people.
  std::string Why() const;
};

struct PlanInput {
  bool automatic = false;
  Seconds interval{0};  // otherwise
  size_t nodes = 1;
  Seconds notice{0};
  const std::vector<Cost>& costs;  // oldest first
  const Interruptions& interruptions;
  const PlanLimits& limits;
};
Plan MakePlan(const PlanInput& input);

}  // namespace holdfast::coordinator
