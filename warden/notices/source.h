// A provider, and what those of providers.inc share; used by watcher.cc only.
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

struct Source {
  std::string_view name;
  // From its notice to the end, as it documents.
  std::chrono::seconds notice_time;
  // How a file of `dmi_directory` begins on its machines.
  struct {
    const char* file;
    const char* text;
  } firmware;
  // Whether the metadata server is its own.
  bool (*answers)(const SourceContext& context, std::stop_token stop);
  // Blocks until it is stopped, reports every notice once, and outlasts a metadata server that is
  // away.
  void (*watch)(const SourceContext& context, std::stop_token stop);
};

// nullptr for "none"; kInvalid for a name that is none.
Result<const Source*> ParseProvider(std::string_view name);
// What the source documents, or `settings.notice_time` instead.
std::chrono::seconds NoticeTime(const Settings& settings, const Source& source);
// What the machine's firmware says; nullptr if it is none of them.
const Source* DetectByFirmware(const Settings& settings);
// As configured; for "auto", what the machine's firmware says, or who answers at a configured
// metadata_url. Asks the network only in that last case.
const Source* Detect(const Settings& settings, http::Client& client, std::stop_token stop);

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
