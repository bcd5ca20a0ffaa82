#include "warden/notices/source.h"

#include <fmt/format.h>

#include <condition_variable>
#include <ctime>
#include <mutex>

#include "base/files.h"

namespace holdfast::notices {
namespace {

using namespace std::chrono_literals;

Provider DetectByAnswer(const Settings& settings, http::Client& client, std::stop_token stop) {
  const SourceContext context{.settings = settings, .client = client, .report = {}};
  const std::string base = BaseUrl(settings);
  const auto gce = Ask(context, stop, base + "/computeMetadata/v1/instance/name",
                       {"Metadata-Flavor: Google"}, 2s);
  if (gce && gce->Header("metadata-flavor") == "Google") return Provider::kGce;
  const auto aws = Ask(context, stop, base + "/latest/api/token",
                       {"X-aws-ec2-metadata-token-ttl-seconds: 60"}, 2s, "PUT");
  if (aws && aws->status == 200) return Provider::kAws;
  const auto azure = Ask(
      context, stop, base + "/metadata/instance/compute/name?api-version=2021-02-01&format=text",
      {"Metadata: true"}, 2s);
  if (azure && azure->status == 200) return Provider::kAzure;
  return Provider::kNone;
}

}  // namespace

Result<Provider> ParseProvider(std::string_view name) {
  for (const Provider provider :
       {Provider::kNone, Provider::kGce, Provider::kAws, Provider::kAzure})
    if (name == ProviderName(provider)) return provider;
  return Fail(
      Code::kInvalid,
      fmt::format("cloud.provider '{}': accepted are auto, gce, aws, azure and none", name));
}

// What the makers of virtual machines put into their firmware:
// https://cloud.google.com/compute/docs/instances/detect-compute-engine
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html
// https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service (asset tag)
Provider DetectByFirmware(const Settings& settings) {
  const auto starts = [&](const char* file, std::string_view text) {
    const auto contents = ReadFile(settings.dmi_directory + "/" + file);
    return contents && contents->starts_with(text);
  };
  if (starts("product_name", "Google Compute Engine")) return Provider::kGce;
  if (starts("sys_vendor", "Amazon EC2")) return Provider::kAws;
  if (starts("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77")) return Provider::kAzure;
  return Provider::kNone;
}

std::chrono::seconds NoticeTime(const Settings& settings, Provider provider) {
  if (provider == Provider::kNone) return 0s;
  if (settings.notice_time > 0s) return settings.notice_time;
  // aws.cc, azure.cc and gce.cc name the pages that say so.
  return provider == Provider::kAws ? 120s : 30s;
}

Provider Detect(const Settings& settings, http::Client& client, std::stop_token stop) {
  if (settings.provider != "auto")
    return ParseProvider(settings.provider).value_or(Provider::kNone);
  return settings.metadata_url.empty() ? DetectByFirmware(settings)
                                       : DetectByAnswer(settings, client, stop);
}

std::string BaseUrl(const Settings& settings) {
  return settings.metadata_url.empty() ? "http://169.254.169.254" : settings.metadata_url;
}

bool Sleep(std::stop_token stop, std::chrono::milliseconds duration) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, duration, [] { return false; });
  return !stop.stop_requested();
}

Result<http::Response> Ask(const SourceContext& context, std::stop_token stop, std::string url,
                           std::vector<std::string> headers, std::chrono::seconds patience,
                           std::string method) {
  http::Request request{.method = std::move(method),
                        .url = std::move(url),
                        .headers = std::move(headers),
                        .deadline = http::Clock::now() + patience,
                        .stall_timeout = 0s,
                        .connect_timeout = 1s,
                        .direct = true,
                        .stop = std::move(stop)};
  // An empty body, so that its length is sent: AWS wants that of a PUT.
  if (request.method == "PUT") request.body.emplace();
  return context.client.Send(request).response;
}

std::optional<std::chrono::system_clock::time_point> ParseTime(const std::string& text,
                                                               const char* format) {
  tm utc{};
  const char* end = ::strptime(text.c_str(), format, &utc);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return std::chrono::system_clock::from_time_t(::timegm(&utc));
}

}  // namespace holdfast::notices
