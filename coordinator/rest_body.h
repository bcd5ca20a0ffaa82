// What the bodies and queries of REST requests say. Used by rest_*.cc. Pure.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace httplib {
struct Request;
}

namespace holdfast::coordinator {

// The request's JSON object; an empty body is an empty one. Keys other than `known` are refused.
Result<nlohmann::json> ParseBody(const std::string& body, std::initializer_list<const char*> known);
// False if the body does not have it.
Result<bool> ReadFlag(const nlohmann::json& body, const char* key);
// 0 if the body does not have it.
Result<uint32_t> ReadNumber(const nlohmann::json& body, const char* key);
// Names of nodes; none if the body does not have them.
Result<std::vector<std::string>> ReadNodes(const nlohmann::json& body, const char* key);

// Of the query. Parameters other than `known` are refused.
Status KnowParameters(const httplib::Request& request, std::initializer_list<const char*> known);
// Empty if the query does not have it.
Result<std::string> ReadWord(const httplib::Request& request, const char* name);
// Between commas.
Result<std::vector<std::string>> ReadWords(const httplib::Request& request, const char* name);
Result<uint32_t> ReadParameter(const httplib::Request& request, const char* name, uint32_t preset,
                               uint32_t least, uint32_t most);
// How much one page of an answer has.
Result<uint32_t> ReadLimit(const httplib::Request& request);

}  // namespace holdfast::coordinator
