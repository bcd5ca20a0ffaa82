// What the coordinator answers, as text for people (docs/operations/rest-api.md has the JSON). Text
// that came from jobs cannot control the terminal. Pure but for names of users and the time zone.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace holdfast::cli {

// Of GET /v1/jobs.
std::string JobListText(const nlohmann::json& answer);
// Of GET /v1/jobs/ID.
std::string JobText(const nlohmann::json& job);
// Of its `why`: why it is not saved, was moved, is held, or waits, and what to do about it.
std::string WhyText(const nlohmann::json& job);
// "checkpoint 3 committed in 1.20 s: 512 MiB of 4 processes, 20 MiB stored".
std::string CheckpointText(const nlohmann::json& checkpoint);
// "n3: jobs 12,13 are leaving", a line for each answer of POST /v1/nodes/NODE/evacuate.
std::string EvacuationText(const nlohmann::json& answers);
// Of prune, prune --expired and verify (cli/checkpoints.h).
std::string PrunedText(const nlohmann::json& answer);
std::string ExpiredText(const nlohmann::json& answer);
std::string VerifiedText(const nlohmann::json& answer);

}  // namespace holdfast::cli
