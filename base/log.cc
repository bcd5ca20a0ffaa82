#include "base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/printable.h"

namespace holdfast::log {
namespace {

// Quotes what would make a line ambiguous; control characters never reach the log raw.
void AppendValue(std::string& line, std::string_view value) {
  std::string quoted;
  for (const char c : value) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  quoted = Printable(quoted, Newlines::kEscape);
  const bool plain = quoted == value && !value.empty() && value.find_first_of(" =") == value.npos;
  line += plain ? quoted : '"' + quoted + '"';
}

void Write(spdlog::level::level_enum level, std::string_view event, Fields fields) {
  std::string line(event);
  for (const Field& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    AppendValue(line, field.value);
  }
  spdlog::default_logger_raw()->log(level, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace

Status Open(std::string_view process, const std::string& path) {
  try {
    spdlog::sink_ptr sink;
    if (path.empty())
      sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    else
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
    auto logger = std::make_shared<spdlog::logger>(std::string(process), std::move(sink));
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %n[%P] %v");
    logger->flush_on(spdlog::level::info);
    spdlog::set_default_logger(std::move(logger));
  } catch (const spdlog::spdlog_ex& error) {
    return Fail(Code::kInvalid, fmt::format("opening the log {}: {}", path, error.what()));
  }
  return {};
}

void Info(std::string_view event, Fields fields) { Write(spdlog::level::info, event, fields); }
void Warn(std::string_view event, Fields fields) { Write(spdlog::level::warn, event, fields); }

void Failure(std::string_view event, const Error& error, Fields fields) {
  std::string line(event);
  line += " error=";
  AppendValue(line, error.message());
  Write(spdlog::level::err, line, fields);
}

}  // namespace holdfast::log
