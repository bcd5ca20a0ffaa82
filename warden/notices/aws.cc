// Amazon EC2: two documents that appear, asked for every five seconds with a session token
// (IMDSv2):
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html and
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "warden/notices/source.h"

namespace holdfast::notices::aws {

extern const Source kSource;

namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr auto kInterval = 5s;
constexpr auto kPatience = 3s;
constexpr const char* kTimeFormat = "%Y-%m-%dT%H:%M:%SZ";

class Watch {
 public:
  Watch(const SourceContext& context, std::stop_token stop)
      : context_(context), stop_(std::move(stop)), base_(BaseUrl(context.settings) + "/latest") {}

  void AskOnce() try {
    if (const json action = Get("/meta-data/spot/instance-action"); action.is_object())
      ReportAction(action.value("action", ""), action.value("time", ""));
    if (const json advice = Get("/meta-data/events/recommendations/rebalance"); advice.is_object())
      ReportAdvice(advice.value("noticeTime", ""));
  } catch (const json::exception&) {
    // A field is not of the documented type: as if the document were not there.
  }

 private:
  // The document, or null while there is none.
  json Get(const std::string& path) {
    if (session_.empty()) {
      const auto token = Ask(context_, stop_, base_ + "/api/token",
                             {"X-aws-ec2-metadata-token-ttl-seconds: 21600"}, kPatience, "PUT");
      if (!token || token->status != 200) return nullptr;
      session_ = token->body;
    }
    const auto response =
        Ask(context_, stop_, base_ + path, {"X-aws-ec2-metadata-token: " + session_}, kPatience);
    if (response && response->status == 401) session_.clear();  // expired
    if (!response || response->status != 200) return nullptr;
    return json::parse(response->body, nullptr, false);
  }

  void ReportAction(const std::string& action, const std::string& time) {
    if (time == action_time_) return;
    action_time_ = time;
    context_.report({.provider = kSource.name,
                     .kind = Notice::Kind::kReclaim,
                     .detail = fmt::format("spot/instance-action: {} at {}", action, time),
                     .deadline = ParseTime(time, kTimeFormat)
                                     .value_or(std::chrono::system_clock::now() +
                                               NoticeTime(context_.settings, kSource))});
  }

  void ReportAdvice(const std::string& time) {
    if (time == advice_time_) return;
    advice_time_ = time;
    context_.report({.provider = kSource.name,
                     .kind = Notice::Kind::kAtRisk,
                     .detail = "rebalance recommendation of " + time,
                     .deadline = {}});
  }

  const SourceContext& context_;
  const std::stop_token stop_;
  const std::string base_;
  std::string session_;
  std::string action_time_, advice_time_;  // of what was reported
};

bool Answers(const SourceContext& context, std::stop_token stop) {
  const auto token = Ask(context, std::move(stop), BaseUrl(context.settings) + "/latest/api/token",
                         {"X-aws-ec2-metadata-token-ttl-seconds: 60"}, 2s, "PUT");
  return token && token->status == 200;
}

void WatchMachine(const SourceContext& context, std::stop_token stop) {
  Watch watch(context, stop);
  const auto interval = context.settings.poll_interval > 0ms ? context.settings.poll_interval
                                                             : std::chrono::milliseconds(kInterval);
  do watch.AskOnce();
  while (Sleep(stop, interval));
}

}  // namespace

// The mark: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html
const Source kSource{.name = "aws",
                     .notice_time = 120s,
                     .firmware = {"sys_vendor", "Amazon EC2"},
                     .answers = Answers,
                     .watch = WatchMachine};

}  // namespace holdfast::notices::aws
