// Buckets and objects as Cloud Storage's JSON API documents them: generations, preconditions,
// checksums. Not thread-safe; the server locks.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/fakes/http_server.h"

namespace holdfast::fakes {

// An answer other than success, as the API sends it.
struct ApiError {
  int status;
  std::string message;
};
template <typename T>
using ApiResult = std::expected<T, ApiError>;
inline std::unexpected<ApiError> ApiFail(int status, std::string message) {
  return std::unexpected(ApiError{status, std::move(message)});
}

struct Object {
  std::string name;
  std::shared_ptr<const std::string> data;  // a download may outlive the object
  int64_t generation = 0;
  int64_t metageneration = 1;
  std::string crc32c, md5;  // base64
  nlohmann::json fields;    // contentType, metadata ...
  int components = 0;       // of a composed object, which has no md5
};

// The four if...Match conditions of a request's query.
struct Preconditions {
  std::optional<int64_t> generation, not_generation, metageneration, not_metageneration;
  static ApiResult<Preconditions> Parse(const Exchange& exchange);
  // For writes: 412 if not met. `object`: the live one, or null.
  ApiResult<void> Check(const Object* object) const;
};

class Bucket {
 public:
  const Object* Find(const std::string& name, const std::string& generation = "") const;
  // Stores under the conditions. `expected_hash`: as X-Goog-Hash has it, in addition to crc32c and
  // md5Hash of `fields`; a mismatch is a 400.
  ApiResult<const Object*> Insert(const std::string& name, std::string data, nlohmann::json fields,
                                  const Preconditions& conditions, const std::string& expected_hash,
                                  int components = 0);
  ApiResult<void> Remove(const std::string& name, const std::string& generation,
                         const Preconditions& conditions);
  const std::map<std::string, Object>& objects() const { return objects_; }

 private:
  std::map<std::string, Object> objects_;
};

std::string Base64(std::string_view bytes);
std::string Crc32cText(std::string_view data);
std::string Md5Text(std::string_view data);
// The object's resource.
nlohmann::json ToJson(const std::string& bucket, const Object& object);
// Only what a fields= parameter selects: "items(name,size),nextPageToken". Empty: everything.
nlohmann::json Select(const nlohmann::json& value, std::string_view fields);

}  // namespace holdfast::fakes
