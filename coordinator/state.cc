#include "coordinator/state.h"

#include <fmt/format.h>

#include <array>
#include <type_traits>

#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

using Body = decltype(Event::body);
using Stages = unsigned;  // a set, by bit

constexpr Stages In(auto... stages) { return ((1U << static_cast<unsigned>(stages)) | ...); }

using enum Stage;
constexpr Stages kUp = In(kGathering, kPreparing, kStarting, kRunning, kPrecopying, kFreezing,
                          kCommitting, kSettling);
constexpr Stages kInFlight = In(kFreezing, kCommitting, kSettling);
constexpr Stages kGone = In(kLeaving, kWaiting, kHeld, kEnding, kEnded);
constexpr Stages kAny = kUp | kGone;

struct Row {
  size_t event;  // index in Event::body
  int timer;     // which, for a Timer; -1 otherwise
  Stages stages;
  void (*handle)(Turn&);  // null: means nothing there, and that is all right
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
constexpr Row On(Stages stages) {
  return {Call<Handler>::kEvent, -1, stages, Call<Handler>::Run};
}
template <auto Handler>
constexpr Row On(TimerKind timer, Stages stages) {
  return {IndexOf<Timer>(), static_cast<int>(timer), stages, Call<Handler>::Run};
}
template <typename E>
constexpr Row Ignore(Stages stages) {
  return {IndexOf<E>(), -1, stages, nullptr};
}

// The first row that matches counts; a pair without a row is refused.
constexpr auto kTable = std::to_array<Row>({
    // Wardens come and go.
    On<OnHello>(kAny),
    On<OnLostFreezing>(In(kPrecopying, kFreezing)),
    On<OnLostSettling>(In(kSettling)),
    On<OnLost>(kAny),

    // A start.
    On<OnReady>(In(kPreparing)),
    On<OnRunning>(In(kStarting)),
    On<OnFailed>(In(kPreparing, kStarting, kRunning, kPrecopying) | kInFlight),
    On<OnStartTimeout>(TimerKind::kPhase, In(kGathering, kPreparing, kStarting)),

    // A checkpoint.
    On<OnWish>(kUp),
    On<OnInterval>(TimerKind::kInterval, In(kRunning)),
    On<OnRetry>(TimerKind::kRetry, In(kRunning)),
    On<OnPrecopied>(In(kPrecopying)),
    On<OnPrecopyTimeout>(TimerKind::kPhase, In(kPrecopying)),
    Ignore<v1::Precopied>(kAny),  // it was not waited for
    On<OnPrepared>(In(kFreezing)),
    On<OnCommitted>(In(kCommitting)),
    On<OnSettled>(In(kRunning, kPrecopying, kFreezing, kCommitting, kSettling)),
    On<OnSaveTimeout>(TimerKind::kPhase, kInFlight),
    Ignore<v1::Prepared>(In(kSettling, kRunning, kPrecopying) | kGone),  // crossed an abort
    Ignore<v1::Settled>(kGone),                              // a release that was not waited for
    Ignore<v1::Failed>(kGone),                               // of what was given up meanwhile
    Ignore<v1::Ready>(kGone),                                // crossed a requeue
    Ignore<v1::Running>(kGone),

    // Slurm wants something.
    On<OnNotice>(kUp),
    Ignore<v1::Notice>(kGone),
    On<OnNoticeTimer>(TimerKind::kNotice, kUp),
    On<OnRecordActive>(kUp),
    On<OnRecordLeaving>(In(kLeaving)),
    On<OnRecordWaiting>(In(kWaiting, kHeld)),
    On<OnNoWarden>(TimerKind::kPhase, In(kWaiting, kHeld)),
    On<OnEndingTimeout>(TimerKind::kPhase, In(kEnding)),
    On<OnRecordEnding>(In(kEnding)),
    Ignore<Record>(In(kEnded)),

    // The way out, and back.
    On<OnEnded>(kUp),
    On<OnEndBelieved>(TimerKind::kEnd, kUp),
    Ignore<v1::Ended>(kGone),
    On<OnReconnectTimeout>(TimerKind::kReconnect, kUp),
    On<OnAsk>(TimerKind::kAsk, kUp | In(kLeaving, kEnding)),
    On<OnRequeueResult>(In(kLeaving)),
    Ignore<RequeueResult>(kAny),
    On<OnResume>(In(kWaiting, kHeld)),
    On<OnRestarted>(kAny),
    On<OnKept>(TimerKind::kKept, In(kEnded)),
    On<OnRemoved>(kAny),
    Ignore<Timer>(kAny),  // fired as its stage was left
});

const Row* Find(const Event& event, Stage stage) {
  const Timer* timer = std::get_if<Timer>(&event.body);
  for (const Row& row : kTable) {
    if (row.event != event.body.index() || (row.stages & In(stage)) == 0) continue;
    if (row.timer >= 0 && row.timer != static_cast<int>(timer->kind)) continue;
    return &row;
  }
  return nullptr;
}

bool FromPod(const Event& event) { return event.body.index() <= IndexOf<v1::Ended>(); }

}  // namespace

const char* EventName(const Event& event) {
  constexpr std::array<const char*, std::variant_size_v<Body>> kNames{
      "hello",    "lost",    "ready",  "running", "precopied", "prepared", "committed",
      "settled",  "failed",  "notice", "ended",   "wish",      "resume",   "record",
      "requeue-result", "timer", "restarted", "removed"};
  return kNames[event.body.index()];
}

void Turn::Tell(uint32_t pod_number, v1::ToWarden message) {
  if (job.pods[pod_number].connected) Do(Send{pod_number, std::move(message)});
}

void Turn::TellAll(const v1::ToWarden& message) {
  for (uint32_t i = 0; i < job.pods.size(); ++i) Tell(i, message);
}

void Turn::Enter(Stage stage, std::chrono::milliseconds limit) {
  job.stage = stage;
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

std::string Turn::Name(uint32_t pod_number) const {
  return fmt::format("pod {} on {}", pod_number, job.nodes()[pod_number]);
}

Result<std::vector<Action>> Step(Job& job, const Event& event, const Policy& policy) {
  if (FromPod(event) && !std::holds_alternative<v1::Hello>(event.body) &&
      event.pod >= job.pods.size())
    return Fail(Code::kInvalid, fmt::format("job {} has no pod {}", job.id, event.pod));
  const Row* row = Find(event, job.stage);
  if (row == nullptr)
    return Fail(Code::kConflict, fmt::format("job {} is {}: no {} is expected", job.id,
                                             StageName(job.stage), EventName(event)));
  if (row->handle == nullptr) return std::vector<Action>{};
  Job changed = job;
  Turn turn{changed, event, policy, {}, {}};
  row->handle(turn);
  if (!turn.refusal.empty())
    return Fail(Code::kConflict, fmt::format("job {}: {}", job.id, turn.refusal));
  job = std::move(changed);
  return std::move(turn.actions);
}

}  // namespace holdfast::coordinator
