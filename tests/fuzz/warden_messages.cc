// What wardens say, in any order, to the state machine of their job; Slurm's answers and timers
// come in between. Each message is a byte that chooses who or what, two for its length, and its
// bytes.
#include <cstring>

#include "coordinator/job_codec.h"
#include "coordinator/state.h"
#include "tests/fuzz/fuzz.h"

namespace holdfast::fuzz {

using namespace coordinator;

namespace {

constexpr uint32_t kPods = 2;

std::optional<decltype(Event::body)> BodyOf(v1::FromWarden& message, uint32_t pod) {
  switch (message.body_case()) {
    case v1::FromWarden::kHello: {
      v1::Hello hello = message.hello();
      // Admission has seen to that.
      hello.set_job_id(7);
      hello.set_pod(pod);
      hello.set_pods(kPods);
      return hello;
    }
    case v1::FromWarden::kReady:
      return message.ready();
    case v1::FromWarden::kRunning:
      return message.running();
    case v1::FromWarden::kPrecopied:
      return message.precopied();
    case v1::FromWarden::kPrepared:
      return message.prepared();
    case v1::FromWarden::kStored:
      return message.stored();
    case v1::FromWarden::kStays:
      return message.stays();
    case v1::FromWarden::kCommitted:
      return message.committed();
    case v1::FromWarden::kSettled:
      return message.settled();
    case v1::FromWarden::kFailed:
      return message.failed();
    case v1::FromWarden::kNotice:
      return message.notice();
    case v1::FromWarden::kEnded:
      return message.ended();
    default:
      return std::nullopt;
  }
}

// What happens beside messages.
decltype(Event::body) Other(size_t which) {
  constexpr size_t kTimers = static_cast<size_t>(TimerKind::kKept) + 1;
  if (which < kTimers) return Timer{static_cast<TimerKind>(which)};
  Record record{.state = Record::State::kRunning, .job_id = 7, .start_time = 1, .requeue = true};
  record.nodes = {"n1", "n2"};
  switch (which - kTimers) {
    case 0:
      return Lost{};
    case 1:
      return Restarted{};
    case 2:
      return Wish{.reason = Reason::kSave};
    case 3:
      return Resume{};
    case 4:
      return record;
    case 5:
      record.state = Record::State::kPending;
      record.restart_count = 1;
      record.nodes.clear();
      return record;
    case 6:
      record.state = Record::State::kTerminal;
      record.state_name = "COMPLETED";
      return record;
    default:
      record.preempt_time = 2;
      return record;
  }
}

}  // namespace

void Feed(std::string_view bytes) {
  Job job;
  job.id = 7;
  bool known = false;
  int64_t now = 1'000'000'000'000;
  while (bytes.size() >= 3) {
    const size_t who = Choose(bytes, 32);
    uint16_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    bytes.remove_prefix(sizeof length);
    const std::string_view body = bytes.substr(0, length);
    bytes.remove_prefix(body.size());
    Event event{
        .unix_ns = now += 1'000'000, .pod = static_cast<uint32_t>(who % kPods), .body = Lost{}};
    if (who < kPods) {
      v1::FromWarden message;
      if (!message.ParseFromArray(body.data(), static_cast<int>(body.size()))) continue;
      auto read = BodyOf(message, event.pod);
      if (!read) continue;
      event.body = std::move(*read);
    } else {
      event.body = Other(who - kPods);
    }
    // The controller knows a job from its first Hello on.
    if (!known && !std::holds_alternative<v1::Hello>(event.body)) continue;
    const Job before = job;
    const auto actions = Step(job, event, {});
    if (!actions) continue;
    known = true;
    Must(MayLead(before, event, job.stage), "a job goes where the table says that it may");
    const auto kept = ParseJob(Serialize(job));
    Must(kept && *kept == static_cast<const Durable&>(job), "the journal keeps the job");
  }
}

std::vector<std::string> Seeds() {
  std::string life;
  const auto add = [&](size_t who, const std::string& body) {
    const auto length = static_cast<uint16_t>(body.size());
    life += static_cast<char>(who);
    life.append(reinterpret_cast<const char*>(&length), sizeof length);
    life += body;
  };
  const auto say = [&](const v1::FromWarden& message) {
    for (uint32_t pod = 0; pod < kPods; ++pod) add(pod, message.SerializeAsString());
  };
  v1::FromWarden hello, ready, running, prepared, stored, stays, committed, settled, ended, failed;
  hello.mutable_hello()->set_mtu(1500);
  hello.mutable_hello()->set_node("n1");
  hello.mutable_hello()->set_asks_before_commit(true);
  hello.mutable_hello()->set_job_options(EncodeOptions({.checkpoint = true, .directory = "/c"}));
  ready.mutable_ready();
  running.mutable_running();
  prepared.mutable_prepared()->set_checkpoint(1);
  prepared.mutable_prepared()->mutable_part()->set_digest(std::string(32, 'x'));
  stored.mutable_stored()->set_checkpoint(1);
  stored.mutable_stored()->set_round(1);
  stays.mutable_stays()->set_checkpoint(1);
  stays.mutable_stays()->set_round(1);
  committed.mutable_committed()->set_checkpoint(1);
  committed.mutable_committed()->add_saved()->set_number(1);
  settled.mutable_settled()->set_checkpoint(1);
  failed.mutable_failed()->set_message("no");
  ended.mutable_ended();
  say(hello);
  say(ready);
  say(running);
  add(2 + 9 + 4, "");
  add(2 + 9 + 2, "");
  std::vector<std::string> seeds = {life};
  for (const auto& message : {prepared, stored, stays, committed, settled}) say(message);
  seeds.push_back(life);
  say(ended);
  seeds.push_back(life);
  life = seeds[0];
  say(failed);
  seeds.push_back(life);
  return seeds;
}

}  // namespace holdfast::fuzz
