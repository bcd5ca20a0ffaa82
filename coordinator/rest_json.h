// What the REST API says about jobs: docs/operations/rest-api.md. Names are stable.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "coordinator/event.h"
#include "coordinator/job.h"
#include "coordinator/rest_answer.h"

namespace holdfast::coordinator {

nlohmann::json ToJson(const Checkpoint& checkpoint, const Job& job);
// One line of the list.
nlohmann::json Summary(const Job& job);
nlohmann::json Details(const Job& job, const History& history, int64_t now_ns);
nlohmann::json ToJson(const TimelineEvent& event);
// RFC 9457, and `error` as it was before.
nlohmann::json ToProblem(const Refusal& refusal, const std::string& title);

}  // namespace holdfast::coordinator
