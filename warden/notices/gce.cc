// Google Compute Engine. Two values, each asked for by a request that the server answers when it
// changes: https://cloud.google.com/compute/docs/instances/create-use-spot#detect-preemption and
// https://cloud.google.com/compute/docs/metadata/getting-live-migration-notice.
#include <fmt/format.h>

#include <thread>

#include "base/log.h"
#include "warden/notices/source.h"

namespace holdfast::notices::gce {

extern const Source kSource;

namespace {

using namespace std::chrono_literals;

constexpr auto kWait = 60s;
constexpr auto kRetry = 1s;

struct Value {
  const char* path;
  const char* alarm;  // the value that means the machine will go
  std::chrono::seconds notice_time;
};
constexpr Value kPreempted{"instance/preempted", "TRUE", 30s};
// MIGRATE_ON_HOST_MAINTENANCE is no alarm: the machine moves, live.
constexpr Value kMaintenance{"instance/maintenance-event", "TERMINATE_ON_HOST_MAINTENANCE", 60s};

void WatchValue(const SourceContext& context, const Value& value, std::stop_token stop) {
  const std::string url = BaseUrl(context.settings) + "/computeMetadata/v1/" + value.path;
  std::string etag;
  bool alarmed = false;
  while (!stop.stop_requested()) {
    // The first question, and one after trouble, is answered at once.
    const std::string wait = etag.empty()
                                 ? ""
                                 : fmt::format("?wait_for_change=true&timeout_sec={}&last_etag={}",
                                               kWait.count(), http::Escape(etag));
    const auto response = Ask(context, stop, url + wait, {"Metadata-Flavor: Google"}, kWait + 15s);
    if (!response || response->status != 200 || response->Header("metadata-flavor") != "Google") {
      etag.clear();
      if (!Sleep(stop, kRetry)) return;
      continue;
    }
    const bool alarm = response->body == value.alarm;
    if (alarm && !alarmed) {
      const auto notice_time =
          context.settings.notice_time > 0s ? context.settings.notice_time : value.notice_time;
      context.report({.provider = kSource.name,
                      .kind = Notice::Kind::kReclaim,
                      .detail = fmt::format("{} is {}", value.path, value.alarm),
                      .deadline = std::chrono::system_clock::now() + notice_time});
    }
    alarmed = alarm;
    etag = response->Header("etag");
    if (etag.empty() && !Sleep(stop, kRetry)) return;
  }
}

bool Answers(const SourceContext& context, std::stop_token stop) {
  const auto name =
      Ask(context, std::move(stop), BaseUrl(context.settings) + "/computeMetadata/v1/instance/name",
          {"Metadata-Flavor: Google"}, 2s);
  return name && name->Header("metadata-flavor") == "Google";
}

void WatchMachine(const SourceContext& context, std::stop_token stop) {
  const std::jthread maintenance([&, stop] { WatchValue(context, kMaintenance, stop); });
  WatchValue(context, kPreempted, stop);
}

}  // namespace

// The mark: https://cloud.google.com/compute/docs/instances/detect-compute-engine
const Source kSource{.name = "gce",
                     .notice_time = kPreempted.notice_time,
                     .firmware = {"product_name", "Google Compute Engine"},
                     .answers = Answers,
                     .watch = WatchMachine};

}  // namespace holdfast::notices::gce
