#include "warden/notices/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <ctime>
#include <mutex>

#include "base/files.h"

namespace holdfast::notices {

#define HOLDFAST_PROVIDER(name) \
  namespace name {              \
  extern const Source kSource;  \
  }
#include "warden/notices/providers.inc"
#undef HOLDFAST_PROVIDER

namespace {

using namespace std::chrono_literals;

constexpr std::array kSources = {
#define HOLDFAST_PROVIDER(name) &name::kSource,
#include "warden/notices/providers.inc"
#undef HOLDFAST_PROVIDER
};

const Source* DetectByAnswer(const Settings& settings, http::Client& client, std::stop_token stop) {
  const SourceContext context{.settings = settings, .client = client, .report = {}};
  const auto found = std::ranges::find_if(
      kSources, [&](const Source* source) { return source->answers(context, stop); });
  return found == kSources.end() ? nullptr : *found;
}

}  // namespace

Result<const Source*> ParseProvider(std::string_view name) {
  if (name == "none") return nullptr;
  const auto found = std::ranges::find(kSources, name, &Source::name);
  if (found != kSources.end()) return *found;
  std::string names;
  for (const Source* source : kSources) names += fmt::format(", {}", source->name);
  return Fail(Code::kInvalid,
              fmt::format("cloud.provider '{}': accepted are auto{} and none", name, names));
}

const Source* DetectByFirmware(const Settings& settings) {
  for (const Source* source : kSources) {
    const auto contents = ReadFile(settings.dmi_directory + "/" + source->firmware.file);
    if (contents && contents->starts_with(source->firmware.text)) return source;
  }
  return nullptr;
}

std::chrono::seconds NoticeTime(const Settings& settings, const Source& source) {
  return settings.notice_time > 0s ? settings.notice_time : source.notice_time;
}

const Source* Detect(const Settings& settings, http::Client& client, std::stop_token stop) {
  if (settings.provider != "auto") return ParseProvider(settings.provider).value_or(nullptr);
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
  // What the clock's nanoseconds can hold: from 1677 to 2262.
  using std::chrono::system_clock;
  const std::chrono::seconds time(::timegm(&utc));
  if (time < std::chrono::ceil<std::chrono::seconds>(system_clock::duration::min()) ||
      time > std::chrono::floor<std::chrono::seconds>(system_clock::duration::max()))
    return std::nullopt;
  return system_clock::time_point(time);
}

}  // namespace holdfast::notices
