#include "tests/fakes/metadata_server.h"

#include <ctime>
#include <nlohmann/json.hpp>

namespace holdfast::fakes {
namespace {

using nlohmann::json;

std::string FormatAfter(std::chrono::seconds after, const char* format) {
  const time_t when = std::time(nullptr) + after.count();
  tm utc{};
  ::gmtime_r(&when, &utc);
  char text[64];
  const size_t length = std::strftime(text, sizeof text, format, &utc);
  return std::string(text, length);
}

constexpr const char* kIso = "%Y-%m-%dT%H:%M:%SZ";
constexpr const char* kHttpDate = "%a, %d %b %Y %H:%M:%S GMT";

}  // namespace

MetadataServer::MetadataServer(Cloud cloud, uint16_t port, const std::string& address)
    : cloud_(cloud), server_([this](Exchange& exchange) { Handle(exchange); }, port, address) {}

MetadataServer::~MetadataServer() {
  const std::lock_guard lock(mutex_);
  closing_ = true;
  changed_.notify_all();
}

template <typename Change>
void MetadataServer::Update(Change change) {
  const std::lock_guard lock(mutex_);
  change(state_);
  ++state_.version;
  changed_.notify_all();
}

void MetadataServer::AnnounceReclaim(std::chrono::seconds after) {
  Update([&](State& state) {
    state.preempted = "TRUE";
    state.action_time = FormatAfter(after, kIso);
    state.event_type = "Preempt";
    state.not_before = FormatAfter(after, kHttpDate);
  });
}

void MetadataServer::AnnounceMaintenance(std::chrono::seconds after) {
  Update([&](State& state) {
    state.maintenance = "TERMINATE_ON_HOST_MAINTENANCE";
    state.event_type = "Redeploy";
    state.not_before = FormatAfter(after, kHttpDate);
  });
}

void MetadataServer::AnnounceHarmless() {
  Update([&](State& state) {
    state.maintenance = "MIGRATE_ON_HOST_MAINTENANCE";
    state.rebalance_time = FormatAfter(std::chrono::seconds(0), kIso);
    state.event_type = "Freeze";
    state.not_before = FormatAfter(std::chrono::seconds(60), kHttpDate);
  });
}

void MetadataServer::Withdraw() {
  Update([](State& state) { state = State{.version = state.version}; });
}

void MetadataServer::SetToken(const std::string& token, std::chrono::seconds lifetime) {
  const std::lock_guard lock(mutex_);
  token_ = token;
  token_lifetime_ = lifetime;
}

void MetadataServer::ForgetSessions() {
  const std::lock_guard lock(mutex_);
  sessions_.clear();
}

void MetadataServer::FailNext(int count) {
  const std::lock_guard lock(mutex_);
  fail_next_ = count;
}

unsigned MetadataServer::requests() {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void MetadataServer::Handle(Exchange& exchange) {
  if (exchange.path == "/holdfast/announce") return Announce(exchange);
  {
    const std::lock_guard lock(mutex_);
    ++requests_;
    if (fail_next_ > 0) {
      --fail_next_;
      return exchange.Respond(503, {}, "");
    }
  }
  switch (cloud_) {
    case Cloud::kGce:
      return HandleGce(exchange);
    case Cloud::kAws:
      return HandleAws(exchange);
    case Cloud::kAzure:
      return HandleAzure(exchange);
  }
}

// https://cloud.google.com/compute/docs/metadata/querying-metadata
void MetadataServer::HandleGce(Exchange& exchange) {
  constexpr std::string_view kBase = "/computeMetadata/v1/instance/";
  if (exchange.Header("metadata-flavor") != "Google" || !exchange.Header("x-forwarded-for").empty())
    return exchange.Respond(403, {{"Metadata-Flavor", "Google"}},
                            "Missing Metadata-Flavor:Google header.");
  if (!exchange.path.starts_with(kBase))
    return exchange.Respond(404, {{"Metadata-Flavor", "Google"}}, "");
  const std::string what = exchange.path.substr(kBase.size());
  if (what == "preempted") return AnswerValue(exchange, &State::preempted);
  if (what == "maintenance-event") return AnswerValue(exchange, &State::maintenance);
  if (what == "service-accounts/default/token") {
    const std::lock_guard lock(mutex_);
    const json token = {{"access_token", token_},
                        {"expires_in", token_lifetime_.count()},
                        {"token_type", "Bearer"}};
    return exchange.Respond(
        200, {{"Metadata-Flavor", "Google"}, {"Content-Type", "application/json"}}, token.dump());
  }
  if (what == "name") return exchange.Respond(200, {{"Metadata-Flavor", "Google"}}, "node");
  exchange.Respond(404, {{"Metadata-Flavor", "Google"}}, "");
}

void MetadataServer::AnswerValue(Exchange& exchange, std::string State::* member) {
  std::unique_lock lock(mutex_);
  if (exchange.Query("wait_for_change") == "true") {
    const std::string seen = exchange.Query("last_etag");
    const std::string before = state_.*member;
    const int seconds = std::atoi(exchange.Query("timeout_sec").c_str());
    const auto differs = [&] {
      return closing_ ||
             (seen.empty() ? state_.*member != before
                           : seen != std::to_string(std::hash<std::string>()(state_.*member)));
    };
    changed_.wait_for(lock, std::chrono::seconds(seconds > 0 ? seconds : 600), differs);
  }
  const std::string value = state_.*member;
  const std::string etag = std::to_string(std::hash<std::string>()(value));
  lock.unlock();
  exchange.Respond(200, {{"Metadata-Flavor", "Google"}, {"ETag", etag}}, value);
}

// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
void MetadataServer::HandleAws(Exchange& exchange) {
  const std::lock_guard lock(mutex_);
  if (exchange.path == "/latest/api/token") {
    if (exchange.method != "PUT") return exchange.Respond(405, {}, "");
    if (exchange.Header("x-aws-ec2-metadata-token-ttl-seconds").empty())
      return exchange.Respond(400, {}, "");
    const std::string session = "session-" + std::to_string(requests_);
    sessions_.insert(session);
    return exchange.Respond(200, {}, session);
  }
  if (!sessions_.contains(exchange.Header("x-aws-ec2-metadata-token")))
    return exchange.Respond(401, {}, "");
  const std::string base = "/latest/meta-data/";
  if (exchange.path == base + "instance-id")
    return exchange.Respond(200, {}, "i-1234567890abcdef0");
  // https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html
  const std::string roles = base + "iam/security-credentials/";
  if (exchange.path == roles) return exchange.Respond(200, {}, "nodes");
  if (exchange.path == roles + "nodes")
    return exchange.Respond(200, {},
                            json{{"Code", "Success"},
                                 {"Type", "AWS-HMAC"},
                                 {"AccessKeyId", "ASIANODES"},
                                 {"SecretAccessKey", "secret-of-nodes"},
                                 {"Token", token_},
                                 {"Expiration", FormatAfter(token_lifetime_, kIso)}}
                                .dump());
  if (exchange.path == base + "spot/instance-action" && !state_.action_time.empty())
    return exchange.Respond(200, {},
                            json{{"action", "terminate"}, {"time", state_.action_time}}.dump());
  if (exchange.path == base + "events/recommendations/rebalance" && !state_.rebalance_time.empty())
    return exchange.Respond(200, {}, json{{"noticeTime", state_.rebalance_time}}.dump());
  exchange.Respond(404, {}, "");
}

// https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events
void MetadataServer::HandleAzure(Exchange& exchange) {
  const std::lock_guard lock(mutex_);
  if (exchange.Header("metadata") != "true" || exchange.Query("api-version").empty())
    return exchange.Respond(400, {}, R"({"error":"Bad request"})");
  if (exchange.path == "/metadata/instance/compute/name")
    return exchange.Respond(200, {}, "node_7");
  if (exchange.path != "/metadata/scheduledevents") return exchange.Respond(404, {}, "");
  json events = json::array();
  if (!state_.event_type.empty()) {
    // One for another machine of the set too: it is not ours.
    for (const char* machine : {"node_8", "node_7"})
      if (machine == std::string("node_7") || state_.event_type == "Preempt")
        events.push_back({{"EventId", std::string("event-") + machine},
                          {"EventType", state_.event_type},
                          {"ResourceType", "VirtualMachine"},
                          {"Resources", {machine}},
                          {"EventStatus", "Scheduled"},
                          {"NotBefore", state_.not_before},
                          {"EventSource", "Platform"}});
  }
  exchange.Respond(200, {{"Content-Type", "application/json"}},
                   json{{"DocumentIncarnation", state_.version}, {"Events", events}}.dump());
}

void MetadataServer::Announce(Exchange& exchange) {
  const json request = json::parse(exchange.ReadWholeBody(), nullptr, false);
  const std::string kind = request.is_object() ? request.value("kind", "") : "";
  const std::chrono::seconds after(request.is_object() ? request.value("seconds", 30) : 0);
  if (kind == "reclaim")
    AnnounceReclaim(after);
  else if (kind == "maintenance")
    AnnounceMaintenance(after);
  else if (kind == "rebalance")
    AnnounceHarmless();
  else if (kind == "none")
    Withdraw();
  else
    return exchange.Respond(400, {}, "kind: reclaim, maintenance, rebalance or none\n");
  exchange.Respond(204, {}, "");
}

}  // namespace holdfast::fakes
