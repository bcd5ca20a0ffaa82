// The points of a job's timeline that wardens report.
#pragma once

#include <chrono>
#include <string>

#include "protocol/holdfast.pb.h"

namespace holdfast::warden {

// Now; what ended took `duration`.
v1::FromWarden MakeEvent(const std::string& name, uint32_t checkpoint,
                         std::chrono::nanoseconds duration = {}, const std::string& detail = "");

// Unix time, as messages have it.
int64_t UnixMs(std::chrono::system_clock::time_point time = std::chrono::system_clock::now());

}  // namespace holdfast::warden
