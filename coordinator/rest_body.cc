#include "coordinator/rest_body.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <httplib.h>

#include <algorithm>
#include <cctype>
#include <ranges>

#include "base/numbers.h"

namespace holdfast::coordinator {

using nlohmann::json;

namespace {

constexpr size_t kMaxWordBytes = 256;
constexpr uint32_t kMaxPage = 1000;

bool IsWordCharacter(unsigned char c) {
  return std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == ',' || c == '@';
}

}  // namespace

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

Status KnowParameters(const httplib::Request& request, std::initializer_list<const char*> known) {
  for (const auto& [name, value] : request.params)
    if (std::ranges::find(known, name) == known.end())
      return Fail(Code::kInvalid, fmt::format("'{}' is not a known parameter; known are: {}", name,
                                              fmt::join(known, ", ")));
  return {};
}

Result<std::string> ReadWord(const httplib::Request& request, const char* name) {
  const std::string word = request.get_param_value(name);
  if (word.size() > kMaxWordBytes || !std::ranges::all_of(word, IsWordCharacter))
    return Fail(Code::kInvalid,
                fmt::format("{}: a name of at most {} bytes is expected", name, kMaxWordBytes));
  return word;
}

Result<std::vector<std::string>> ReadWords(const httplib::Request& request, const char* name) {
  HOLDFAST_TRY(const std::string list, ReadWord(request, name));
  std::vector<std::string> words;
  for (const auto& word : std::views::split(list, ','))
    if (!word.empty()) words.emplace_back(word.begin(), word.end());
  return words;
}

Result<uint32_t> ReadParameter(const httplib::Request& request, const char* name, uint32_t preset,
                               uint32_t least, uint32_t most) {
  if (!request.has_param(name)) return preset;
  const std::string text = request.get_param_value(name);
  const auto number = ParseNumber<uint32_t>(text);
  if (!number || *number < least || *number > most)
    return Fail(Code::kInvalid, fmt::format("{}={}: a number from {} to {} is expected", name,
                                            text.substr(0, kMaxWordBytes), least, most));
  return *number;
}

Result<uint32_t> ReadLimit(const httplib::Request& request) {
  return ReadParameter(request, "limit", kMaxPage, 1, kMaxPage);
}

}  // namespace holdfast::coordinator
