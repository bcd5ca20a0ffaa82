#include "coordinator/job.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace holdfast::v1 {

using google::protobuf::util::MessageDifferencer;

bool operator==(const Ended& a, const Ended& b) { return MessageDifferencer::Equals(a, b); }

}  // namespace holdfast::v1

namespace holdfast::coordinator {
namespace {

struct ReasonText {
  const char* name;
  const char* words;
};
// By number.
constexpr auto kReasons = std::to_array<ReasonText>(
    {{"", "nobody has said why"},
     {"interval", "it is saved from time to time"},
     {"preemption", "Slurm preempted it, for a job that goes first"},
     {"spot", "the cloud takes one of its nodes back"},
     {"evacuate", "an administrator emptied one of its nodes"},
     {"save", "somebody asked for it (holdfast save)"},
     {"migrate", "somebody asked for it (holdfast migrate)"},
     {"requeued", "Slurm requeued it: a node failed, or somebody told it to"},
     {"failure", "a part of it was lost"},
     {"start", "it could not be started there"},
     {"restore", "it could not be restored there"},
     {"hold", "it could not go on, and is held"},
     {"time-limit", "its time limit was near"}});

}  // namespace

const char* StageName(Stage stage) {
  switch (stage) {
    case Stage::kGathering:
      return "gathering";
    case Stage::kPreparing:
      return "preparing";
    case Stage::kStarting:
      return "starting";
    case Stage::kRunning:
      return "running";
    case Stage::kPrecopying:
      return "precopying";
    case Stage::kFreezing:
      return "freezing";
    case Stage::kCommitting:
      return "committing";
    case Stage::kSettling:
      return "settling";
    case Stage::kLeaving:
      return "leaving";
    case Stage::kWaiting:
      return "waiting";
    case Stage::kHeld:
      return "held";
    case Stage::kEnding:
      return "ending";
    case Stage::kEnded:
      return "ended";
  }
  return "unknown";
}

bool IsActive(Stage stage) { return stage <= Stage::kSettling || stage == Stage::kPrecopying; }

const char* ReasonName(Reason reason) { return kReasons[static_cast<size_t>(reason)].name; }

const char* ReasonWords(Reason reason) { return kReasons[static_cast<size_t>(reason)].words; }

Reason ReasonFromName(std::string_view name) {
  const auto* found = std::ranges::find(kReasons, name, &ReasonText::name);
  return found == kReasons.end() ? Reason::kNone : static_cast<Reason>(found - kReasons.begin());
}

const char* StateOf(const Job& job) {
  if (job.suspended && IsActive(job.stage)) return "suspended";
  if (job.stage == Stage::kPreparing && job.start.restore_job != 0) return "restoring";
  return StageName(job.stage);
}

std::string PodName(const Job& job, uint32_t pod) {
  const std::string& node = job.nodes()[pod];
  return "pod " + std::to_string(pod) + (node.empty() ? "" : " on " + node);
}

void AddNodes(std::vector<std::string>& nodes, const std::vector<std::string>& more) {
  for (const std::string& node : more)
    if (!std::ranges::contains(nodes, node)) nodes.push_back(node);
}

Job Revive(Durable durable) {
  Job job;
  static_cast<Durable&>(job) = std::move(durable);
  job.saved_once |= !job.saved.empty();  // older journals do not say
  job.pods.resize(job.start.nodes.size());
  return job;
}

bool Job::any_connected() const { return std::ranges::any_of(pods, &Pod::connected); }

bool Job::any_may_live() const {
  return std::ranges::any_of(pods, [](const Pod& pod) { return pod.connected || pod.awaited; });
}

std::vector<std::string> Job::lost_nodes() const {
  std::vector<std::string> lost;
  for (uint32_t i = 0; i < pods.size(); ++i)
    if (!pods[i].connected && !pods[i].awaited && !nodes()[i].empty()) lost.push_back(nodes()[i]);
  return lost;
}

bool Job::all_connected() const {
  return !pods.empty() && std::ranges::all_of(pods, &Pod::connected);
}

bool Job::all_in(v1::Phase phase) const {
  return !pods.empty() &&
         std::ranges::all_of(pods, [phase](const Pod& pod) { return pod.phase == phase; });
}

bool Job::must_be_on(const std::string& node) const {
  return listed.size() <= nodes().size() && std::ranges::contains(listed, node);
}

bool Job::may_be_renewed() const { return renewals < options.renewals.value_or(0); }

bool Job::can_save() const { return all_run() && !suspended; }

bool Job::all_run() const { return all_connected() && all_in(v1::PHASE_RUNNING); }

uint32_t Durable::newest() const {
  uint32_t best = 0;
  for (const uint32_t number : saved)
    if (!std::ranges::contains(bad, number)) best = std::max(best, number);
  return best;
}

void Durable::FoundSaved(std::vector<uint32_t> found) {
  std::erase_if(unwanted, [&](uint32_t number) { return !std::ranges::contains(found, number); });
  std::erase_if(found, [&](uint32_t number) { return std::ranges::contains(unwanted, number); });
  saved = std::move(found);
}

void Durable::Learn(const Checkpoint& committed) {
  const auto since = [](int64_t begin_ns, int64_t unix_ns) {
    return std::chrono::nanoseconds(std::max<int64_t>(0, unix_ns - begin_ns));
  };
  const int64_t stopped_ns = std::max(committed.begun_ns, committed.precopied_ns);
  const bool left = committed.stop || committed.settled_ns == 0;
  costs.push_back(
      {.ran = std::chrono::nanoseconds(committed.ran_ns),
       .to_safe = since(committed.begun_ns, committed.committed_ns),
       .stopped = since(stopped_ns, left ? committed.committed_ns : committed.settled_ns),
       .raw_bytes = committed.raw_bytes,
       .stored_bytes = committed.stored_bytes,
       .first = costs.empty()});
  if (costs.size() > kCostsKept) costs.erase(costs.begin());
}

}  // namespace holdfast::coordinator
