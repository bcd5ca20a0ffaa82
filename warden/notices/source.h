// What asks each provider; used by watcher.cc only. Each function blocks until it is stopped,
// reports every notice once, and outlasts a metadata server that is away.
#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "base/http_client.h"
#include "warden/notices/watcher.h"

namespace holdfast::notices {

struct SourceContext {
  const Settings& settings;
  http::Client& client;
  const std::function<void(const Notice&)>& report;
};

void WatchGce(const SourceContext& context, std::stop_token stop);
void WatchAws(const SourceContext& context, std::stop_token stop);
void WatchAzure(const SourceContext& context, std::stop_token stop);

// kInvalid for a name that is none.
Result<Provider> ParseProvider(std::string_view name);
// What the provider documents, or `settings.notice_time` instead.
std::chrono::seconds NoticeTime(const Settings& settings, Provider provider);
// What the machine's firmware says.
Provider DetectByFirmware(const Settings& settings);
// As configured; for "auto", what the machine's firmware says, or who answers at a configured
// metadata_url. Asks the network only in that last case.
Provider Detect(const Settings& settings, http::Client& client, std::stop_token stop);

// Where the metadata server is.
std::string BaseUrl(const Settings& settings);
// False if stopped.
bool Sleep(std::stop_token stop, std::chrono::milliseconds duration);
// One question, answered within `patience`.
Result<http::Response> Ask(const SourceContext& context, std::stop_token stop, std::string url,
                           std::vector<std::string> headers, std::chrono::seconds patience,
                           std::string method = "GET");
// "2026-01-31T12:00:00Z" (AWS) or "Sat, 31 Jan 2026 12:00:00 GMT" (Azure).
std::optional<std::chrono::system_clock::time_point> ParseTime(const std::string& text,
                                                               const char* format);

}  // namespace holdfast::notices
