// What the REST API says about jobs: docs/operations/rest-api.md. Names are stable.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "coordinator/event.h"
#include "coordinator/job.h"

namespace holdfast::coordinator {

nlohmann::json ToJson(const Checkpoint& checkpoint, const Job& job);
// One line of the list.
nlohmann::json Summary(const Job& job);
nlohmann::json Details(const Job& job, const History& history, int64_t now_ns);
// RFC 9457, and `error` as it was before.
nlohmann::json ToProblem(const Error& error, int status, const std::string& title,
                         const std::string& next);

}  // namespace holdfast::coordinator
