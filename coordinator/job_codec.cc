// A struct of job.h and its message have the same members in the same order. Members lists a
// struct's by a structured binding, which does not compile unless it names all of them; Write and
// Read then walk them beside the message's fields, so that there is no second list that could be
// forgotten.
#include "coordinator/job_codec.h"

#include <fmt/format.h>

#include <concepts>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include "protocol/journal.pb.h"

namespace holdfast::coordinator {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Version 1 had the options as a message.
constexpr uint32_t kVersion = 2;
constexpr int kStages = static_cast<int>(Stage::kPrecopying) + 1;
constexpr int kReasonCount = static_cast<int>(Reason::kTimeLimit) + 1;

template <typename T, typename S>
concept Is = std::same_as<std::remove_const_t<T>, S>;

auto Members(Is<Cost> auto& cost) {
  auto& [ran, to_safe, stopped, raw_bytes, stored_bytes, first] = cost;
  return std::tie(ran, to_safe, stopped, raw_bytes, stored_bytes, first);
}

auto Members(Is<Checkpoint> auto& checkpoint) {
  auto& [number, reason, stop, hold, second_try, excluded, deadline_unix_ms, ran_ns, begun_ns,
         precopied_ns, prepared_ns, committed_ns, settled_ns, frozen_ns, raw_bytes, stored_bytes,
         processes, how, error, nodes, code] = checkpoint;
  return std::tie(number, reason, stop, hold, second_try, excluded, deadline_unix_ms, ran_ns,
                  begun_ns, precopied_ns, prepared_ns, committed_ns, settled_ns, frozen_ns,
                  raw_bytes, stored_bytes, processes, how, error, nodes, code);
}

auto Members(Is<Move> auto& move) {
  auto& [number, checkpoint, reason, from, to, left_ns, requeued_ns, chosen_ns, restored_ns,
         running_ns] = move;
  return std::tie(number, checkpoint, reason, from, to, left_ns, requeued_ns, chosen_ns,
                  restored_ns, running_ns);
}

auto Members(Is<Wish> auto& wish) {
  auto& [reason, stop, hold, second_try, excluded, begun_ns, deadline_unix_ms, nodes] = wish;
  return std::tie(reason, stop, hold, second_try, excluded, begun_ns, deadline_unix_ms, nodes);
}

auto Members(Is<Suspicion> auto& suspicion) {
  auto& [why, nodes, silence] = suspicion;
  return std::tie(why, nodes, silence);
}

auto Members(Is<Eviction> auto& eviction) {
  auto& [requeued, dead_node] = eviction;
  return std::tie(requeued, dead_node);
}

auto Members(Is<Start> auto& start) {
  auto& [restart_count, nodes, restore_job, restore_checkpoint, preemption_seen, refused, wish,
         suspicion, doubted_end, eviction, ended, note, unmarking] = start;
  return std::tie(restart_count, nodes, restore_job, restore_checkpoint, preemption_seen, refused,
                  wish, suspicion, doubted_end, eviction, ended, note, unmarking);
}

auto Members(Is<Request> auto& request) {
  auto& [from_start, checkpoint, nodes] = request;
  return std::tie(from_start, checkpoint, nodes);
}

auto Members(Is<Departure> auto& departure) {
  auto& [hold, hurry, release, holding, marked] = departure;
  return std::tie(hold, hurry, release, holding, marked);
}

auto Members(Is<Exclusions> auto& exclusions) {
  auto& [next, set, user, unfit, setting] = exclusions;
  return std::tie(next, set, user, unfit, setting);
}

auto Members(Is<Aftermath> auto& aftermath) {
  auto& [ended_well, kept_seconds, removed] = aftermath;
  return std::tie(ended_well, kept_seconds, removed);
}

auto Members(Is<ArrayTask> auto& array) {
  auto& [job, task] = array;
  return std::tie(job, task);
}

auto Members(Is<Durable> auto& job) {
  auto& [id, uid, gid, stage, options, vni, hostnames, started, first_checkpoint, next_checkpoint,
         saved, bad, attempts, moves, unsaved_ns, costs, commented, last_error, start, request,
         departure, exclusions, aftermath, checkpoint, move, saved_once, requeue, renewals, array,
         cluster, submitted, pod_count, asked_nodes, perhaps_saved, mark_stays, account, partition,
         unwanted] = job;
  return std::tie(id, uid, gid, stage, options, vni, hostnames, started, first_checkpoint,
                  next_checkpoint, saved, bad, attempts, moves, unsaved_ns, costs, commented,
                  last_error, start, request, departure, exclusions, aftermath, checkpoint, move,
                  saved_once, requeue, renewals, array, cluster, submitted, pod_count, asked_nodes,
                  perhaps_saved, mark_stays, account, partition, unwanted);
}

template <typename T>
constexpr bool kIsList = false;
template <typename T>
constexpr bool kIsList<std::vector<T>> = true;
template <typename T>
constexpr bool kIsOptional = false;
template <typename T>
constexpr bool kIsOptional<std::optional<T>> = true;

template <typename T>
void Write(const T& value, Message& message);

// A wrong type of field is a mistake of the program, and protobuf ends it: the unit test fills
// every field.
template <typename T>
void WriteField(const T& value, Message& message, const FieldDescriptor* field) {
  const auto* reflection = message.GetReflection();
  if constexpr (kIsOptional<T>) {
    if (value) WriteField(*value, message, field);
  } else if constexpr (kIsList<T>) {
    for (const auto& each : value) {
      using Each = typename T::value_type;
      if constexpr (std::same_as<Each, std::string>)
        reflection->AddString(&message, field, each);
      else if constexpr (std::same_as<Each, uint32_t>)
        reflection->AddUInt32(&message, field, each);
      else
        Write(each, *reflection->AddMessage(&message, field));
    }
  } else if constexpr (std::same_as<T, bool>) {
    reflection->SetBool(&message, field, value);
  } else if constexpr (std::is_enum_v<T>) {
    reflection->SetInt32(&message, field, static_cast<int32_t>(value));
  } else if constexpr (std::same_as<T, uint32_t>) {
    reflection->SetUInt32(&message, field, value);
  } else if constexpr (std::same_as<T, uint64_t>) {
    reflection->SetUInt64(&message, field, value);
  } else if constexpr (std::same_as<T, int64_t>) {
    reflection->SetInt64(&message, field, value);
  } else if constexpr (std::same_as<T, Seconds>) {
    reflection->SetDouble(&message, field, value.count());
  } else if constexpr (std::same_as<T, std::string>) {
    reflection->SetString(&message, field, value);
  } else if constexpr (std::same_as<T, JobOptions>) {
    reflection->SetString(&message, field, EncodeOptions(value));
  } else if constexpr (std::derived_from<T, Message>) {
    reflection->MutableMessage(&message, field)->CopyFrom(value);
  } else {
    Write(value, *reflection->MutableMessage(&message, field));
  }
}

template <typename T>
void Read(const Message& message, T& value);

bool IsKnown(Stage stage) {
  return static_cast<int>(stage) >= 0 && static_cast<int>(stage) < kStages;
}
bool IsKnown(Reason reason) {
  return static_cast<int>(reason) >= 0 && static_cast<int>(reason) < kReasonCount;
}
bool IsKnown(v1::Settle::How how) { return v1::Settle::How_IsValid(how); }

// Thrown by Read, and caught by Parse.
struct Unknown {
  std::string what;
};

template <typename T>
void ReadField(const Message& message, const FieldDescriptor* field, T& value) {
  const auto* reflection = message.GetReflection();
  if constexpr (kIsOptional<T>) {
    if (reflection->HasField(message, field)) ReadField(message, field, value.emplace());
  } else if constexpr (kIsList<T>) {
    using Each = typename T::value_type;
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      if constexpr (std::same_as<Each, std::string>)
        value.push_back(reflection->GetRepeatedString(message, field, i));
      else if constexpr (std::same_as<Each, uint32_t>)
        value.push_back(reflection->GetRepeatedUInt32(message, field, i));
      else
        Read(reflection->GetRepeatedMessage(message, field, i), value.emplace_back());
    }
  } else if constexpr (std::same_as<T, bool>) {
    value = reflection->GetBool(message, field);
  } else if constexpr (std::is_enum_v<T>) {
    value = static_cast<T>(reflection->GetInt32(message, field));
    if (!IsKnown(value))
      throw Unknown{fmt::format("{} {} is unknown", field->full_name(), static_cast<int>(value))};
  } else if constexpr (std::same_as<T, uint32_t>) {
    value = reflection->GetUInt32(message, field);
  } else if constexpr (std::same_as<T, uint64_t>) {
    value = reflection->GetUInt64(message, field);
  } else if constexpr (std::same_as<T, int64_t>) {
    value = reflection->GetInt64(message, field);
  } else if constexpr (std::same_as<T, Seconds>) {
    value = Seconds(reflection->GetDouble(message, field));
  } else if constexpr (std::same_as<T, std::string>) {
    value = reflection->GetString(message, field);
  } else if constexpr (std::same_as<T, JobOptions>) {
    Result<JobOptions> options = DecodeOptions(reflection->GetString(message, field));
    if (!options) throw Unknown{options.error().message()};
    value = std::move(*options);
  } else if constexpr (std::derived_from<T, Message>) {
    value.CopyFrom(reflection->GetMessage(message, field));
  } else {
    Read(reflection->GetMessage(message, field), value);
  }
}

template <typename T>
void Write(const T& value, Message& message) {
  const auto* type = message.GetDescriptor();
  std::apply(
      [&](const auto&... members) {
        int i = 0;
        (WriteField(members, message, type->field(i++)), ...);
      },
      Members(value));
}

template <typename T>
void Read(const Message& message, T& value) {
  const auto* type = message.GetDescriptor();
  std::apply(
      [&](auto&... members) {
        int i = 0;
        (ReadField(message, type->field(i++), members), ...);
      },
      Members(value));
}

template <typename T, typename M>
std::string SerializeAs(const T& value) {
  M message;
  Write(value, message);
  return message.SerializeAsString();
}

template <typename T>
Result<T> From(const Message& message) {
  T value;
  try {
    Read(message, value);
  } catch (const Unknown& unknown) {
    return Fail(Code::kCorrupt, unknown.what);
  }
  return value;
}

template <typename T, typename M>
Result<T> ParseAs(std::string_view bytes) {
  M message;
  if (!message.ParseFromString(std::string(bytes)))
    return Fail(Code::kCorrupt, fmt::format("{} bytes that are no {}", bytes.size(),
                                            std::string(message.GetTypeName())));
  return From<T>(message);
}

}  // namespace

std::string Serialize(const Durable& job) {
  journal::v1::Entry entry;
  entry.set_version(kVersion);
  Write(job, *entry.mutable_job());
  return entry.SerializeAsString();
}

std::string Serialize(const Checkpoint& checkpoint) {
  return SerializeAs<Checkpoint, journal::v1::Checkpoint>(checkpoint);
}

std::string Serialize(const Move& move) { return SerializeAs<Move, journal::v1::Move>(move); }

Result<Durable> ParseJob(std::string_view bytes) {
  journal::v1::Entry entry;
  if (!entry.ParseFromString(std::string(bytes)) || !entry.has_job())
    return Fail(Code::kCorrupt, fmt::format("{} bytes that are no job", bytes.size()));
  if (entry.version() > kVersion)
    return Fail(Code::kUnsupported,
                fmt::format("version {}, and this program knows {}", entry.version(), kVersion));
  if (entry.version() == 1) {
    HOLDFAST_TRY(const JobOptions options, FromMessage(entry.job().options_of_version_1()));
    entry.mutable_job()->set_options(EncodeOptions(options));
  }
  return From<Durable>(entry.job());
}

Result<Checkpoint> ParseCheckpoint(std::string_view bytes) {
  return ParseAs<Checkpoint, journal::v1::Checkpoint>(bytes);
}

Result<Move> ParseMove(std::string_view bytes) { return ParseAs<Move, journal::v1::Move>(bytes); }

Result<JobOptions> OptionsOf(const v1::Hello& hello) {
  return hello.job_options().empty() ? FromMessage(hello.options())
                                     : DecodeOptions(hello.job_options());
}

Result<JobOptions> FromMessage(const v1::Options& old) {
  JobOptions options{.checkpoint = true, .directory = old.directory()};
  if (old.auto_interval() || old.interval_seconds() > 0)
    options.interval = Interval{.every = std::chrono::seconds(old.interval_seconds()),
                                .automatic = old.auto_interval()};
  if (old.keep() > 0) options.keep = old.keep();
  const std::pair<std::string_view, std::string_view> kTexts[] = {
      {"restore-from", old.restore_from()},
      {"checkpoint-files", old.files()},
      {"checkpoint-rollback", old.rollback()}};
  for (const auto& [name, text] : kTexts)
    if (!text.empty()) HOLDFAST_CHECK(SetOption(*FindOption(name), text, options));
  return options;
}

}  // namespace holdfast::coordinator
