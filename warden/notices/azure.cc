// Microsoft Azure: one document of the events that are scheduled for this machine and others of its
// set, to be asked for every second:
// https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "warden/notices/source.h"

namespace holdfast::notices::azure {

extern const Source kSource;

namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr auto kInterval = 1s;
// The first question switches the service on, which takes up to two minutes.
constexpr auto kPatience = 150s;
constexpr const char* kTimeFormat = "%a, %d %b %Y %H:%M:%S GMT";
// Those after which memory is lost. Freeze only pauses the machine for some seconds.
constexpr std::array<std::string_view, 4> kEnds{"Preempt", "Terminate", "Reboot", "Redeploy"};

class Watch {
 public:
  Watch(const SourceContext& context, std::stop_token stop)
      : context_(context),
        stop_(std::move(stop)),
        base_(BaseUrl(context.settings) + "/metadata/") {}

  void AskOnce() try {
    if (name_.empty()) {
      const auto response = Get("instance/compute/name?api-version=2021-02-01&format=text");
      if (!response || response->status != 200) return;
      name_ = response->body;
    }
    const auto response = Get("scheduledevents?api-version=2020-07-01");
    if (!response || response->status != 200) return;
    const json document = json::parse(response->body, nullptr, false);
    if (!document.is_object()) return;
    for (const json& event : document.value("Events", json::array()))
      if (event.is_object()) Take(event);
  } catch (const json::exception&) {
    // A field is not of the documented type: as if the document were not there.
  }

 private:
  Result<http::Response> Get(const std::string& path) {
    return Ask(context_, stop_, base_ + path, {"Metadata: true"}, kPatience);
  }

  void Take(const json& event) {
    const std::string type = event.value("EventType", "");
    const json machines = event.value("Resources", json::array());
    if (std::ranges::find(kEnds, type) == kEnds.end() ||
        std::ranges::find(machines, json(name_)) == machines.end() ||
        !reported_.insert(event.value("EventId", "")).second)
      return;
    // NotBefore is empty once an event has started.
    const std::string not_before = event.value("NotBefore", "");
    context_.report({.provider = kSource.name,
                     .kind = Notice::Kind::kReclaim,
                     .detail = fmt::format("scheduled event {} not before {}", type, not_before),
                     .deadline = ParseTime(not_before, kTimeFormat)
                                     .value_or(std::chrono::system_clock::now() +
                                               NoticeTime(context_.settings, kSource))});
  }

  const SourceContext& context_;
  const std::stop_token stop_;
  const std::string base_;
  std::string name_;  // this machine's, as events have it
  std::set<std::string> reported_;
};

bool Answers(const SourceContext& context, std::stop_token stop) {
  const auto name = Ask(context, std::move(stop),
                        BaseUrl(context.settings) +
                            "/metadata/instance/compute/name?api-version=2021-02-01&format=text",
                        {"Metadata: true"}, 2s);
  return name && name->status == 200;
}

void WatchMachine(const SourceContext& context, std::stop_token stop) {
  Watch watch(context, stop);
  const auto interval = context.settings.poll_interval > 0ms ? context.settings.poll_interval
                                                             : std::chrono::milliseconds(kInterval);
  do watch.AskOnce();
  while (Sleep(stop, interval));
}

}  // namespace

// The mark is Azure's asset tag:
// https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service
const Source kSource{.name = "azure",
                     .notice_time = 30s,
                     .firmware = {"chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77"},
                     .answers = Answers,
                     .watch = WatchMachine};

}  // namespace holdfast::notices::azure
