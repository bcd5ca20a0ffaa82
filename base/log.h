// One event per line: time, level, process, event, then key=value fields. Never log tokens or
// environments. Thread-safe.
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace holdfast::log {

// One value of a line, quoted when it needs to be.
struct Field {
  template <typename T>
  Field(std::string_view k, const T& v) : key(k), value(fmt::format("{}", v)) {}
  std::string_view key;
  std::string value;
};
using Fields = std::initializer_list<Field>;

// Names the process in every line, and says where they go: a file (appended to) or, if empty,
// stderr.
Status Open(std::string_view process, const std::string& path = "");

void Info(std::string_view event, Fields fields = {});
void Warn(std::string_view event, Fields fields = {});
void Failure(std::string_view event, const Error& error, Fields fields = {});

}  // namespace holdfast::log
