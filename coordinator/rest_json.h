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
nlohmann::json Details(const Job& job, const std::vector<Checkpoint>& checkpoints,
                       const std::vector<Move>& moves, const std::vector<TimelineEvent>& events,
                       int64_t now_ns);
nlohmann::json ToJson(const Error& error, const std::string& next);

}  // namespace holdfast::coordinator
