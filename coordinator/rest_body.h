// What the bodies of REST requests say. Used by rest_server.cc. Pure.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace holdfast::coordinator {

// The request's JSON object; an empty body is an empty one. Keys other than `known` are refused.
Result<nlohmann::json> ParseBody(const std::string& body, std::initializer_list<const char*> known);
// False if the body does not have it.
Result<bool> ReadFlag(const nlohmann::json& body, const char* key);
// 0 if the body does not have it.
Result<uint32_t> ReadNumber(const nlohmann::json& body, const char* key);
// Names of nodes; none if the body does not have them.
Result<std::vector<std::string>> ReadNodes(const nlohmann::json& body, const char* key);

}  // namespace holdfast::coordinator
