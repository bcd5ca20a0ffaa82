// Reading answers without exceptions, whatever they hold.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace holdfast::storage::gcs {

// The text field of an object, or "" if it is missing or either is of another type.
inline std::string TextOf(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace holdfast::storage::gcs
