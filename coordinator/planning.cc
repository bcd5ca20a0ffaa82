#include "coordinator/planning.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/duration.h"

namespace holdfast::coordinator {
namespace {

// Of the notice's time. The rest is for how long the news takes (EC2 is asked every five seconds),
// and for estimates that are too low.
constexpr double kShareOfNotice = 0.75;
// The interval is not shortened for the notice's sake if the job would then spend more than this
// share of its time being saved: it would always pay for what may never be needed.
constexpr double kLongestShareSaving = 0.1;
// Sizes that differ by less than this say nothing about how time depends on size.
constexpr double kSpreadOfSizes = 0.1;

Seconds Mean(const std::vector<Cost>& costs, Seconds Cost::* member, bool with_first) {
  Seconds sum{0};
  size_t count = 0;
  for (const Cost& cost : costs)
    if (with_first || !cost.first) sum += cost.*member, ++count;
  return count == 0 ? Seconds(0) : sum / static_cast<double>(count);
}

// Fits to_safe = fixed + seconds_per_byte * stored_bytes by least squares; neither can be negative.
void FitStoring(const std::vector<Cost>& costs, TimeToSafe& fitted) {
  const auto count = static_cast<double>(costs.size());
  double sum_x = 0, sum_t = 0, sum_xx = 0, sum_xt = 0, least = kForever.count(), most = 0;
  for (const Cost& cost : costs) {
    const auto x = static_cast<double>(cost.stored_bytes);
    const double t = cost.to_safe.count();
    sum_x += x, sum_t += t, sum_xx += x * x, sum_xt += x * t;
    least = std::min(least, x), most = std::max(most, x);
  }
  if (most == 0) {
    fitted.fixed = Seconds(sum_t / count);
    return;
  }
  if (most - least >= kSpreadOfSizes * most) {
    const double slope = (count * sum_xt - sum_x * sum_t) / (count * sum_xx - sum_x * sum_x);
    fitted.seconds_per_byte = std::max(0.0, slope);
    fitted.fixed = Seconds((sum_t - fitted.seconds_per_byte * sum_x) / count);
    if (fitted.fixed.count() >= 0) return;
  }
  // All time as if it were for the bytes.
  fitted.fixed = Seconds(0);
  fitted.seconds_per_byte = sum_xt / sum_xx;
}

void MeasureGrowth(const std::vector<Cost>& costs, TimeToSafe& measured) {
  double bytes = 0;
  Seconds ran{0};
  for (const Cost& cost : costs) {
    if (cost.first || cost.ran.count() <= 0) continue;
    bytes += static_cast<double>(cost.stored_bytes);
    ran += cost.ran;
  }
  measured.growth_known = ran.count() > 0;
  if (measured.growth_known) {
    measured.bytes_per_second = bytes / ran.count();
    measured.limit_bytes = static_cast<double>(costs.back().raw_bytes);
    return;
  }
  for (const Cost& cost : costs)
    measured.limit_bytes = std::max(measured.limit_bytes, static_cast<double>(cost.stored_bytes));
}

std::string Text(Seconds duration) {
  // Beyond what nanoseconds hold: as good as never.
  constexpr Seconds kLongestText = std::chrono::hours(24 * 365 * 100);
  if (duration > kLongestText) return "more than 100 years";
  return FormatDuration(std::chrono::duration_cast<std::chrono::nanoseconds>(duration));
}

void ChooseAutomatic(const PlanInput& input, Plan& plan) {
  const PlanLimits& limits = input.limits;
  plan.basis = Basis::kFirst;
  plan.interval = limits.shortest;
  if (!plan.to_safe.known) return;

  const Seconds budget = input.notice * kShareOfNotice;
  const Seconds within_notice =
      input.notice.count() > 0 ? plan.to_safe.LongestWithin(budget) : kForever;
  if (!plan.to_safe.growth_known && within_notice != kForever) {
    plan.basis = Basis::kLearning;
    return;
  }
  const Seconds best = YoungDaly(plan.cost, plan.between_interruptions);
  plan.basis = best < limits.shortest  ? Basis::kShortest
               : best > limits.longest ? Basis::kLongest
                                       : Basis::kYoungDaly;
  plan.interval = std::clamp(best, limits.shortest, std::max(limits.shortest, limits.longest));
  const Seconds least = std::max(limits.shortest, plan.cost * (1 / kLongestShareSaving - 1));
  if (within_notice < plan.interval && within_notice >= least) {
    plan.basis = Basis::kNotice;
    plan.interval = within_notice;
  }
}

}  // namespace

Seconds TimeToSafe::After(Seconds ran) const {
  double bytes = limit_bytes;
  // Not forever times nothing.
  if (growth_known)
    bytes = bytes_per_second > 0
                ? std::min(bytes_per_second * std::max(0.0, ran.count()), limit_bytes)
                : 0;
  return fixed + Seconds(seconds_per_byte * bytes);
}

Seconds TimeToSafe::LongestWithin(Seconds budget) const {
  if (fixed > budget) return Seconds(0);
  if (fixed + Seconds(seconds_per_byte * limit_bytes) <= budget) return kForever;
  if (!growth_known) return Seconds(0);
  const double seconds_per_second = seconds_per_byte * bytes_per_second;
  return seconds_per_second > 0 ? Seconds((budget - fixed).count() / seconds_per_second) : kForever;
}

TimeToSafe EstimateTimeToSafe(const std::vector<Cost>& costs) {
  TimeToSafe estimate;
  if (costs.empty()) return estimate;
  estimate.known = true;
  FitStoring(costs, estimate);
  MeasureGrowth(costs, estimate);
  return estimate;
}

Seconds YoungDaly(Seconds cost, Seconds between_interruptions) {
  if (between_interruptions == kForever) return kForever;
  // Daly's expansion is for cost < 2 M; beyond it, no interval is better than M.
  if (cost >= 2 * between_interruptions) return between_interruptions;
  const double share = cost / (2 * between_interruptions);
  const Seconds young{std::sqrt(2 * cost.count() * between_interruptions.count())};
  return young * (1 + std::sqrt(share) / 3 + share / 9) - cost;
}

Seconds BetweenInterruptions(const Interruptions& observed, Seconds node_lifetime, size_t nodes) {
  const Seconds node_time = observed.node_time + node_lifetime;
  const auto count = static_cast<double>(observed.count + 1);
  return node_time / count / static_cast<double>(std::max<size_t>(1, nodes));
}

const char* BasisName(Basis basis) {
  switch (basis) {
    case Basis::kNone:
      return "none";
    case Basis::kFixed:
      return "fixed";
    case Basis::kFirst:
      return "first";
    case Basis::kLearning:
      return "learning";
    case Basis::kYoungDaly:
      return "young-daly";
    case Basis::kNotice:
      return "notice";
    case Basis::kShortest:
      return "shortest";
    case Basis::kLongest:
      return "longest";
  }
  return "unknown";
}

bool Plan::notice_suffices() const {
  return notice.count() == 0 ||
         (to_safe.known && to_safe.After(interval.count() > 0 ? interval : kForever) <= notice);
}

std::string Plan::Why() const {
  const std::string measured = fmt::format(
      "a checkpoint costs {}, and an interruption is to be "
      "expected every {} (Young/Daly)",
      Text(cost), Text(between_interruptions));
  const std::string short_of = to_safe.known && !notice_suffices()
                                   ? fmt::format("; a notice of {} may not suffice", Text(notice))
                                   : "";
  switch (basis) {
    case Basis::kNone:
      return "only when needed" + short_of;
    case Basis::kFixed:
      return "as the job or the site says" + short_of;
    case Basis::kFirst:
      return "auto: nothing is known yet, and a first checkpoint will tell";
    case Basis::kLearning:
      return fmt::format(
          "auto: saving everything takes {}, too long for a notice of {}; another "
          "checkpoint will tell how much changes",
          Text(to_safe.After(kForever)), Text(notice));
    case Basis::kYoungDaly:
      return "auto: " + measured + short_of;
    case Basis::kNotice:
      return fmt::format("auto: what changes meanwhile can be stored within a notice of {}",
                         Text(notice));
    case Basis::kShortest:
      return "auto: the shortest allowed; " + measured + short_of;
    case Basis::kLongest:
      return "auto: the longest allowed; " + measured + short_of;
  }
  return "";
}

Plan MakePlan(const PlanInput& input) {
  Plan plan{.notice = input.notice, .to_safe = EstimateTimeToSafe(input.costs)};
  const bool only_first = std::ranges::all_of(input.costs, &Cost::first);
  plan.cost = Mean(input.costs, &Cost::stopped, only_first);
  plan.between_interruptions =
      BetweenInterruptions(input.interruptions, input.limits.node_lifetime, input.nodes);
  if (input.automatic) {
    ChooseAutomatic(input, plan);
  } else if (input.interval.count() > 0) {
    plan.interval = input.interval;
    plan.basis = Basis::kFixed;
  }
  return plan;
}

}  // namespace holdfast::coordinator
