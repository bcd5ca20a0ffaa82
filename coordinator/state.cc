#include "coordinator/state.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>

#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

using Body = decltype(Event::body);
using Stages = unsigned;  // a set, by bit

constexpr Stages In(auto... stages) { return ((1U << static_cast<unsigned>(stages)) | ...); }

using enum Stage;
constexpr Stages kUp =
    In(kGathering, kPreparing, kStarting, kRunning, kPrecopying, kFreezing, kCommitting, kSettling);
constexpr Stages kInFlight = In(kFreezing, kCommitting, kSettling);
constexpr Stages kGone = In(kLeaving, kWaiting, kHeld, kEnding, kEnded);
constexpr Stages kAny = kUp | kGone;

// Where a step may lead, beside staying: what several rows have in common.
constexpr Stages kStay = 0;
constexpr Stages kSave = In(kPrecopying, kFreezing);
constexpr Stages kGoOn = In(kRunning) | kSave;  // and what was wished for meanwhile is begun
constexpr Stages kGiveUp = In(kLeaving, kEnding);
constexpr Stages kQueue = In(kWaiting, kHeld, kEnded);  // as Slurm says
constexpr Stages kStart = In(kGathering, kPreparing) | kGiveUp | kGoOn;

// What an event may be beside its type, with a name of its own.
struct Condition {
  const char* name;
  bool (*holds)(const Job&, const Event&);
};

struct Row {
  size_t event;  // index in Event::body
  int timer;     // which, for a Timer; -1 otherwise
  Stages stages;
  Stages next;                      // the job stays, or enters one of these
  void (*handle)(Turn&);            // null: means nothing there, and that is all right
  const Condition* when = nullptr;  // null: always
};

template <typename E, size_t I = 0>
constexpr size_t IndexOf() {
  if constexpr (std::is_same_v<E, std::variant_alternative_t<I, Body>>)
    return I;
  else
    return IndexOf<E, I + 1>();
}

template <auto Handler>
struct Call;
template <typename E, void (*Handler)(Turn&, const E&)>
struct Call<Handler> {
  static constexpr size_t kEvent = IndexOf<E>();
  static void Run(Turn& turn) { Handler(turn, std::get<E>(turn.event.body)); }
};

template <auto Handler>
constexpr Row On(Stages stages, Stages next, const Condition* when = nullptr) {
  return {Call<Handler>::kEvent, -1, stages, next, Call<Handler>::Run, when};
}
template <auto Handler>
constexpr Row On(TimerKind timer, Stages stages, Stages next) {
  return {IndexOf<Timer>(), static_cast<int>(timer), stages, next, Call<Handler>::Run};
}
template <typename E>
constexpr Row Ignore(Stages stages, const Condition* when = nullptr) {
  return {IndexOf<E>(), -1, stages, kStay, nullptr, when};
}

constexpr Condition kNewStart{"hello of a new start", [](const Job& job, const Event& event) {
                                const uint32_t start =
                                    std::get<v1::Hello>(event.body).restart_count();
                                return start > job.start.restart_count ||
                                       (job.pods.empty() && start == job.start.restart_count);
                              }};
// What happens when a job takes too long does not happen to one that may not do anything.
constexpr Condition kStoodStill{"time of a suspended job", [](const Job& job, const Event& event) {
                                  const TimerKind kind = std::get<Timer>(event.body).kind;
                                  return job.suspended && kind != TimerKind::kAsk &&
                                         kind != TimerKind::kInterval;
                                }};
constexpr Condition kOfDamage{"damaged", [](const Job&, const Event& event) {
                                return std::get<v1::Failed>(event.body).phase() ==
                                       v1::PHASE_RUNNING;
                              }};

// The first row that matches counts; a pair without a row is refused. docs/stages.md is drawn from
// it.
constexpr auto kTable = std::to_array<Row>({
    Ignore<Timer>(kUp, &kStoodStill),
    // Wardens come and go.
    On<OnUnforeseenStart>(kUp, kStart, &kNewStart), On<OnNewStart>(kGone, kStart, &kNewStart),
    On<OnHelloGathering>(In(kGathering), In(kPreparing) | kGiveUp | kGoOn),
    On<OnHelloPreparing>(In(kPreparing), In(kStarting)), On<OnHelloStarting>(In(kStarting), kGoOn),
    On<OnHelloRunning>(In(kRunning), kSave), On<OnHelloPrecopying>(In(kPrecopying), In(kSettling)),
    On<OnHelloFreezing>(In(kFreezing), In(kCommitting, kSettling)),
    On<OnHelloCommitting>(In(kCommitting), In(kSettling)),
    On<OnHelloSettling>(In(kSettling), In(kLeaving) | kGoOn),
    On<OnHelloGone>(In(kLeaving, kWaiting, kHeld), kStay), On<OnHelloEnding>(In(kEnding), kStay),
    On<OnHelloEnded>(In(kEnded), kStay), On<OnLostQuietly>(In(kGathering) | kGone, kStay),
    On<OnLostSaving>(In(kPrecopying, kFreezing), In(kSettling)),
    On<OnLostSettling>(In(kSettling), In(kLeaving) | kGoOn), On<OnLost>(kUp, kStay),

    // A start.
    On<OnReady>(In(kPreparing), In(kStarting)), On<OnRunning>(In(kStarting), kGoOn),
    On<OnFailedStart>(In(kPreparing, kStarting, kRunning, kPrecopying) | kInFlight, kGiveUp,
                      &kOfDamage),
    On<OnFailedStart>(In(kPreparing), kGiveUp), On<OnFailedStarting>(In(kStarting), kStay),
    On<OnGatheringTimeout>(TimerKind::kPhase, In(kGathering), kGiveUp),
    On<OnPreparingTimeout>(TimerKind::kPhase, In(kPreparing), kGiveUp),
    On<OnStartingTimeout>(TimerKind::kPhase, In(kStarting), kStay),

    // A checkpoint.
    On<OnWishUnstarted>(In(kGathering, kPreparing), In(kLeaving)),
    On<OnWishStarting>(In(kStarting), kStay), On<OnWishRunning>(In(kRunning), kSave),
    On<OnWishPrecopying>(In(kPrecopying), In(kFreezing, kSettling)),
    On<OnWishSaving>(In(kFreezing, kCommitting), kStay), On<OnWishSettling>(In(kSettling), kStay),
    On<OnWishGone>(kGone, kStay), On<OnInterval>(TimerKind::kInterval, In(kRunning), kSave),
    On<OnRetry>(TimerKind::kRetry, In(kRunning), kSave),
    On<OnTimeLimit>(TimerKind::kLimit, In(kRunning), kSave),
    On<OnTimeLimit>(TimerKind::kLimit, In(kPrecopying), In(kFreezing, kSettling)),
    On<OnTimeLimit>(TimerKind::kLimit, kInFlight, kStay),
    On<OnPrecopied>(In(kPrecopying), In(kFreezing, kSettling)),
    On<OnPrecopyingTimeout>(TimerKind::kPhase, In(kPrecopying), In(kFreezing, kSettling)),
    Ignore<v1::Precopied>(kAny),  // it was not waited for
    On<OnPrepared>(In(kFreezing), In(kCommitting)), On<OnCommitted>(In(kCommitting), In(kSettling)),
    On<OnStored>(In(kCommitting), In(kSettling)), On<OnStoredLate>(In(kSettling), kStay),
    Ignore<v1::Stored>(kGone), On<OnStays>(In(kCommitting), kStay), Ignore<v1::Stays>(kAny),
    On<OnSettledLate>(In(kRunning), kSave), On<OnSettled>(In(kSettling), In(kLeaving) | kGoOn),
    On<OnFailedFreezing>(In(kFreezing), In(kSettling)),
    On<OnFailedCommitting>(In(kCommitting), In(kSettling)),
    On<OnFailedSettling>(In(kSettling), kStay),
    On<OnFreezingTimeout>(TimerKind::kPhase, In(kFreezing), In(kSettling)),
    On<OnCommittingTimeout>(TimerKind::kPhase, In(kCommitting), In(kSettling)),
    On<OnSettlingTimeout>(TimerKind::kPhase, In(kSettling), In(kLeaving)),
    Ignore<v1::Prepared>(In(kSettling, kRunning, kPrecopying) | kGone),  // crossed an abort
    // A release that was not waited for, or of a checkpoint before.
    Ignore<v1::Settled>(In(kPrecopying, kFreezing, kCommitting) | kGone),
    Ignore<v1::Failed>(In(kRunning, kPrecopying) | kGone),  // of what was given up meanwhile
    Ignore<v1::Ready>(kGone),                               // crossed a requeue
    Ignore<v1::Running>(kGone),

    // Slurm wants something.
    On<OnNoticeRunning>(In(kRunning), kStay), On<OnNotice>(kUp, kStay), Ignore<v1::Notice>(kGone),
    On<OnNoticeTimer>(TimerKind::kNotice, kUp, kStay),
    On<OnRecordActive>(In(kRunning), kSave | kGiveUp | kQueue),
    On<OnRecordActive>(In(kPrecopying), In(kFreezing, kSettling) | kGiveUp | kQueue),
    On<OnRecordActive>(kUp, kGiveUp | kQueue), On<OnRecordLeaving>(In(kLeaving), kQueue),
    On<OnRecordWaiting>(In(kWaiting), In(kLeaving, kHeld, kEnded)),
    On<OnRecordHeld>(In(kHeld), In(kLeaving, kWaiting, kEnded)),
    On<OnNoWarden>(TimerKind::kPhase, In(kWaiting, kHeld), In(kLeaving)),
    On<OnEndingTimeout>(TimerKind::kPhase, In(kEnding), In(kLeaving)),
    On<OnRecordEnding>(In(kEnding), In(kLeaving) | kQueue), Ignore<Record>(In(kEnded)),

    // The way out, and back.
    On<OnEndedSaving>(In(kPrecopying, kFreezing), In(kEnding, kSettling)),
    On<OnEndedSettling>(In(kSettling), In(kEnding)), On<OnEnded>(kUp, In(kEnding)),
    On<OnEndBelieved>(TimerKind::kEnd, kUp, In(kEnding)), Ignore<v1::Ended>(kGone),
    On<OnNotBackGathering>(TimerKind::kReconnect, In(kGathering), kStay),
    On<OnNotBackSaving>(TimerKind::kReconnect, In(kPrecopying, kFreezing), In(kSettling)),
    On<OnNotBackCommitting>(TimerKind::kReconnect, In(kCommitting), In(kSettling)),
    On<OnNotBack>(TimerKind::kReconnect, kUp, kStay),
    On<OnAsk>(TimerKind::kAsk, kUp | In(kLeaving, kEnding), kStay),
    On<OnRequeueResult>(In(kLeaving), kStay), Ignore<RequeueResult>(kAny),
    On<OnResume>(In(kWaiting, kHeld), In(kWaiting)), On<OnResumeElsewhere>(kAny, kStay),
    On<OnKinWaiting>(In(kWaiting, kHeld), kStay), On<OnKin>(In(kLeaving), kStay), Ignore<Kin>(kAny),
    On<OnKept>(TimerKind::kKept, In(kEnded), kStay), On<OnRemovedEnded>(In(kEnded), kStay),
    On<OnRemoved>(kAny, kStay), On<OnUnwantEnded>(In(kEnded), kStay), On<OnUnwant>(kAny, kStay),

    // Another process of the coordinator takes it up.
    On<OnRestartedGathering>(In(kGathering), kStay), On<OnRestartedRunning>(In(kRunning), kStay),
    On<OnRestartedActive>(kUp, kStay), On<OnRestartedLeaving>(In(kLeaving), kStay),
    On<OnRestartedEnding>(In(kEnding), kStay), On<OnRestartedEnded>(In(kEnded), kStay),
    On<OnRestarted>(In(kWaiting, kHeld), kStay),
    Ignore<Timer>(kAny),  // fired as its stage was left
});

const Row* Find(const Event& event, const Job& job) {
  const Timer* timer = std::get_if<Timer>(&event.body);
  for (const Row& row : kTable) {
    if (row.event != event.body.index() || (row.stages & In(job.stage)) == 0) continue;
    if (row.timer >= 0 && row.timer != static_cast<int>(timer->kind)) continue;
    if (row.when != nullptr && !row.when->holds(job, event)) continue;
    return &row;
  }
  return nullptr;
}

constexpr auto kEventNames = std::to_array<const char*>(
    {"hello",     "lost",    "ready",     "running", "precopied",      "prepared",
     "stored",    "stays",   "committed", "settled", "failed",         "notice",
     "ended",     "wish",    "resume",    "record",  "requeue-result", "timer",
     "restarted", "removed", "unwant",    "kin"});
static_assert(kEventNames.size() == std::variant_size_v<Body>);

constexpr auto kTimerNames =
    std::to_array<const char*>({"too long", "not back", "interval", "notice", "retry", "ask",
                                "time limit", "end believed", "kept"});

std::string NameOf(const Row& row) {
  if (row.when != nullptr) return row.when->name;
  return row.timer >= 0 ? kTimerNames[static_cast<size_t>(row.timer)] : kEventNames[row.event];
}

std::string NamesOf(Stages stages) {
  if (stages == kAny) return "any";
  std::string names;
  if ((stages & kUp) == kUp) {
    names = "any with wardens";
    stages &= ~kUp;
  }
  for (int i = 0; i <= static_cast<int>(kPrecopying); ++i)
    if ((stages & In(i)) != 0)
      names += (names.empty() ? "" : ", ") + std::string(StageName(static_cast<Stage>(i)));
  return names;
}

bool FromPod(const Event& event) { return event.body.index() <= IndexOf<v1::Ended>(); }

// Only a newcomer and people are refused, so only then can there be a step to undo. What has
// happened cannot be refused.
bool MayBeRefused(const Event& event) {
  return std::holds_alternative<v1::Hello>(event.body) ||
         std::holds_alternative<Wish>(event.body) || std::holds_alternative<Resume>(event.body) ||
         std::holds_alternative<Removed>(event.body) || std::holds_alternative<Unwant>(event.body);
}

}  // namespace

const char* EventName(const Event& event) { return kEventNames[event.body.index()]; }

bool MayLead(const Job& before, const Event& event, Stage after) {
  const Row* row = Find(event, before);
  return row != nullptr && (after == before.stage || (row->next & In(after)) != 0);
}

std::string DrawStages() {
  // What a handler does depends on more than the stage, so an edge means "may".
  std::map<std::pair<int, int>, std::set<std::string>> edges;
  std::string rows;
  for (const Row& row : kTable) {
    if (row.handle == nullptr || row.next == kStay) continue;
    rows += fmt::format("| {} | {} | {} |\n", NamesOf(row.stages), NameOf(row), NamesOf(row.next));
    // Of a new start, and of Slurm's word, there is one edge for all stages: the table has them.
    if ((row.stages & kUp) == kUp || row.when == &kNewStart) continue;
    for (int from = 0; from <= static_cast<int>(kPrecopying); ++from)
      for (int to = 0; to <= static_cast<int>(kPrecopying); ++to)
        if (from != to && (row.stages & In(from)) != 0 && (row.next & In(to)) != 0)
          edges[{from, to}].insert(NameOf(row));
  }
  std::string drawing;
  for (const auto& [edge, events] : edges)
    drawing += fmt::format("    {} --> {}: {}\n", StageName(static_cast<Stage>(edge.first)),
                           StageName(static_cast<Stage>(edge.second)), fmt::join(events, ", "));
  return fmt::format(
      "# Stages of a job\n\n"
      "Generated from the table of `coordinator/state.cc`; the target `coordinator_stages` writes "
      "it anew.\n"
      "The job may also stay where it is. In the drawing, what may happen in every stage in which "
      "wardens are there is left out.\n\n"
      "```mermaid\nstateDiagram-v2\n{}```\n\n"
      "| in | on | to |\n|---|---|---|\n{}",
      drawing, rows);
}

v1::ToWarden CredentialOnly() {
  v1::ToWarden message;
  message.mutable_welcome();
  return message;
}

void Turn::Tell(uint32_t pod_number, v1::ToWarden message) {
  Tell(pod_number, std::make_shared<const v1::ToWarden>(std::move(message)));
}

void Turn::TellAll(const v1::ToWarden& message) {
  const auto shared = std::make_shared<const v1::ToWarden>(message);
  for (uint32_t i = 0; i < job.pods.size(); ++i) Tell(i, shared);
}

void Turn::Tell(uint32_t pod_number, std::shared_ptr<const v1::ToWarden> message) {
  Pod& pod = job.pods[pod_number];
  if (!pod.connected) return;
  if (!std::exchange(pod.welcomed, true) && !message->has_welcome())
    Do(Send{pod_number, std::make_shared<const v1::ToWarden>(CredentialOnly())});
  Do(Send{pod_number, std::move(message)});
}

void Turn::Enter(Stage stage, std::chrono::milliseconds limit) {
  job.stage = stage;
  Limit(limit);
}

void Turn::Limit(std::chrono::milliseconds limit) {
  job.stage_limit = limit;
  if (limit.count() > 0)
    Do(Arm{TimerKind::kPhase, limit});
  else
    Do(Disarm{TimerKind::kPhase});
}

void Turn::Mark(std::string name, int64_t duration_ns, std::string detail) {
  Do(TimelineEvent{.name = std::move(name),
                   .unix_ns = now(),
                   .duration_ns = duration_ns,
                   .detail = std::move(detail),
                   .checkpoint = job.checkpoint ? job.checkpoint->number : 0});
}

std::string Turn::Name(uint32_t pod_number) const { return PodName(job, pod_number); }

std::string Turn::Names(const std::vector<uint32_t>& pods) const {
  std::string names;
  for (const uint32_t pod : pods) names += (names.empty() ? "" : ", ") + Name(pod);
  return names;
}

std::vector<uint32_t> Turn::PodsThat(bool (*are)(const Pod&)) const {
  std::vector<uint32_t> found;
  for (uint32_t i = 0; i < job.pods.size(); ++i)
    if (are(job.pods[i])) found.push_back(i);
  return found;
}

void Turn::Follow(decltype(Event::body) body) {
  const Event next{.unix_ns = now(), .pod = event.pod, .body = std::move(body)};
  const Row* row = Find(next, job);
  if (row == nullptr || row->handle == nullptr) return;
  Turn turn{job, next, policy, std::move(actions), {}};
  row->handle(turn);
  actions = std::move(turn.actions);
  refusal = std::move(turn.refusal);
}

namespace {

void NoteSlurm(Job& job, const Record& record) {
  if (record.state == Record::State::kGone) return;
  job.slurm_state = record.state_name;
  job.account = record.account;
  job.partition = record.partition;
}

}  // namespace

Result<std::vector<Action>> Step(Job& job, const Event& event, const Policy& policy) {
  if (FromPod(event) && !std::holds_alternative<v1::Hello>(event.body) &&
      event.pod >= job.pods.size())
    return Fail(Code::kInvalid, fmt::format("job {} has no pod {}", job.id, event.pod));
  if (const auto* record = std::get_if<Record>(&event.body)) NoteSlurm(job, *record);
  const Row* row = Find(event, job);
  if (row == nullptr)
    return Fail(Code::kConflict, fmt::format("job {} is {}: no {} is expected", job.id,
                                             StageName(job.stage), EventName(event)));
  if (row->handle == nullptr) return std::vector<Action>{};
  // A job of a thousand pods gets thousands of messages: it is not copied for each.
  std::optional<Job> before;
  if (MayBeRefused(event)) before = job;
  Turn turn{job, event, policy, {}, {}};
  row->handle(turn);
  if (turn.refusal.empty()) return std::move(turn.actions);
  job = std::move(before.value());
  return Fail(Code::kConflict, fmt::format("job {}: {}", job.id, turn.refusal));
}

}  // namespace holdfast::coordinator
