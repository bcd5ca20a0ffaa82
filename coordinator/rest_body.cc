#include "coordinator/rest_body.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

namespace holdfast::coordinator {

using nlohmann::json;

Result<json> ParseBody(const std::string& body, std::initializer_list<const char*> known) {
  if (body.empty()) return json::object();
  json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object()) return Fail(Code::kInvalid, "the body is not a JSON object");
  for (const auto& [key, value] : parsed.items())
    if (std::ranges::find(known, key) == known.end())
      return Fail(Code::kInvalid, fmt::format("'{}' is not a known key; known are: {}", key,
                                              fmt::join(known, ", ")));
  return parsed;
}

Result<bool> ReadFlag(const json& body, const char* key) {
  const json value = body.value(key, json(false));
  if (!value.is_boolean())
    return Fail(Code::kInvalid, fmt::format("'{}' must be true or false", key));
  return value.get<bool>();
}

Result<uint32_t> ReadNumber(const json& body, const char* key) {
  const json value = body.value(key, json(0U));
  if (!value.is_number_unsigned())
    return Fail(Code::kInvalid, fmt::format("'{}' must be a number", key));
  return value.get<uint32_t>();
}

Result<std::vector<std::string>> ReadNodes(const json& body, const char* key) {
  std::vector<std::string> nodes;
  const json value = body.value(key, json::array());
  const auto is_name = [](const json& node) {
    return node.is_string() && !node.get_ref<const std::string&>().empty() &&
           std::ranges::all_of(node.get_ref<const std::string&>(), [](unsigned char c) {
             return std::isalnum(c) || c == '-' || c == '_' || c == '.';
           });
  };
  if (!value.is_array() || !std::ranges::all_of(value, is_name))
    return Fail(Code::kInvalid, fmt::format("'{}' must be a list of node names", key));
  for (const json& node : value) nodes.push_back(node.get<std::string>());
  return nodes;
}

}  // namespace holdfast::coordinator
