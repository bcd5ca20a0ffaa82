#include "tests/fakes/gcs_objects.h"

#include <openssl/evp.h>

#include <array>
#include <charconv>
#include <chrono>

namespace holdfast::fakes {
namespace {

using nlohmann::json;

// Written anew, bit by bit where it counts, so that a mistake in the client's is not repeated here.
uint32_t Crc32c(std::string_view data) {
  static const auto table = [] {
    std::array<uint32_t, 256> made{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit)
        value = (value & 1) ? (value >> 1) ^ 0x82F63B78u : value >> 1;
      made[i] = value;
    }
    return made;
  }();
  uint32_t crc = 0xFFFFFFFF;
  for (const char c : data) crc = table[(crc ^ static_cast<unsigned char>(c)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

// The names a fields= parameter lists at its top level, each with what is selected below it.
std::vector<std::pair<std::string, std::string>> SplitFields(std::string_view fields) {
  std::vector<std::pair<std::string, std::string>> parts;
  std::string name, below;
  int depth = 0;
  const auto finish = [&] {
    if (!name.empty()) parts.emplace_back(std::move(name), std::move(below));
    name.clear();
    below.clear();
  };
  for (const char c : fields) {
    if (c == ')' && --depth == 0) continue;
    if (c == '(' && ++depth == 1) continue;
    if (c == ',' && depth == 0)
      finish();
    else
      (depth == 0 ? name : below) += c;
  }
  finish();
  return parts;
}

// "crc32c=...,md5=...": does each that is there match?
ApiResult<void> CheckHash(const Object& object, const std::string& expected) {
  for (size_t at = 0; at < expected.size();) {
    const size_t comma = std::min(expected.find(',', at), expected.size());
    const std::string_view part = std::string_view(expected).substr(at, comma - at);
    const size_t equals = std::min(part.find('='), part.size() - 1);
    const std::string_view kind = part.substr(0, equals), value = part.substr(equals + 1);
    const std::string& actual = kind == "md5" ? object.md5 : object.crc32c;
    if (value != actual)
      return ApiFail(400, "Provided " + std::string(kind) + " \"" + std::string(value) +
                              "\" doesn't match calculated \"" + actual + "\".");
    at = comma + 1;
  }
  return {};
}

}  // namespace

std::string Base64(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                     reinterpret_cast<const unsigned char*>(bytes.data()),
                                     static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(length));
  return text;
}

std::string Crc32cText(std::string_view data) {
  const uint32_t crc = Crc32c(data);
  const char bytes[] = {static_cast<char>(crc >> 24), static_cast<char>(crc >> 16),
                        static_cast<char>(crc >> 8), static_cast<char>(crc)};
  return Base64({bytes, sizeof bytes});
}

std::string Md5Text(std::string_view data) {
  std::array<char, EVP_MAX_MD_SIZE> digest;
  unsigned length = 0;
  EVP_Digest(data.data(), data.size(), reinterpret_cast<unsigned char*>(digest.data()), &length,
             EVP_md5(), nullptr);
  return Base64({digest.data(), length});
}

ApiResult<Preconditions> Preconditions::Parse(const Exchange& exchange) {
  Preconditions conditions;
  for (const auto& [name, target] :
       {std::pair("ifGenerationMatch", &conditions.generation),
        std::pair("ifGenerationNotMatch", &conditions.not_generation),
        std::pair("ifMetagenerationMatch", &conditions.metageneration),
        std::pair("ifMetagenerationNotMatch", &conditions.not_metageneration)}) {
    const std::string text = exchange.Query(name);
    if (text.empty()) continue;
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
      return ApiFail(400, std::string("Invalid value for ") + name);
    *target = value;
  }
  return conditions;
}

ApiResult<void> Preconditions::Check(const Object* object) const {
  const int64_t live = object != nullptr ? object->generation : 0;
  const int64_t meta = object != nullptr ? object->metageneration : 0;
  if ((generation && *generation != live) || (not_generation && *not_generation == live) ||
      (metageneration && *metageneration != meta) ||
      (not_metageneration && *not_metageneration == meta))
    return ApiFail(412, "At least one of the pre-conditions you specified did not hold.");
  return {};
}

const Object* Bucket::Find(const std::string& name, const std::string& generation) const {
  const auto found = objects_.find(name);
  if (found == objects_.end()) return nullptr;
  if (!generation.empty() && generation != std::to_string(found->second.generation)) return nullptr;
  return &found->second;
}

ApiResult<const Object*> Bucket::Insert(const std::string& name, std::string data, json fields,
                                        const Preconditions& conditions,
                                        const std::string& expected_hash, int components) {
  if (name.empty() || name.size() > 1024) return ApiFail(400, "Object names have 1 to 1024 bytes.");
  if (auto met = conditions.Check(Find(name)); !met) return std::unexpected(met.error());
  Object object{.name = name, .crc32c = Crc32cText(data), .components = components};
  if (components == 0) object.md5 = Md5Text(data);
  std::string wanted = expected_hash;
  for (const auto& [field, kind] : {std::pair("crc32c", "crc32c="), std::pair("md5Hash", "md5=")})
    if (fields.contains(field)) {
      wanted += (wanted.empty() ? "" : ",") + std::string(kind) + fields[field].get<std::string>();
      fields.erase(field);
    }
  if (auto same = CheckHash(object, wanted); !same) return std::unexpected(same.error());
  fields.erase("name");
  object.fields = std::move(fields);
  object.data = std::make_shared<const std::string>(std::move(data));
  // Microseconds, as the real ones look; later is always greater.
  static int64_t last = 0;
  const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  last = object.generation = std::max<int64_t>(last + 1, now.count());
  return &(objects_[name] = std::move(object));
}

ApiResult<void> Bucket::Remove(const std::string& name, const std::string& generation,
                               const Preconditions& conditions) {
  const Object* object = Find(name, generation);
  if (object == nullptr) return ApiFail(404, "No such object: " + name);
  if (auto met = conditions.Check(object); !met) return met;
  objects_.erase(name);
  return {};
}

json ToJson(const std::string& bucket, const Object& object) {
  json resource = object.fields;
  resource["kind"] = "storage#object";
  resource["id"] = bucket + "/" + object.name + "/" + std::to_string(object.generation);
  resource["name"] = object.name;
  resource["bucket"] = bucket;
  resource["generation"] = std::to_string(object.generation);
  resource["metageneration"] = std::to_string(object.metageneration);
  resource["size"] = std::to_string(object.data->size());
  resource["storageClass"] = "STANDARD";
  resource["crc32c"] = object.crc32c;
  if (!object.md5.empty()) resource["md5Hash"] = object.md5;
  if (object.components > 0) resource["componentCount"] = object.components;
  resource["etag"] = Base64(std::to_string(object.generation));
  return resource;
}

json Select(const json& value, std::string_view fields) {
  if (fields.empty()) return value;
  if (value.is_array()) {
    json selected = json::array();
    for (const json& item : value) selected.push_back(Select(item, fields));
    return selected;
  }
  json selected = json::object();
  for (const auto& [name, below] : SplitFields(fields))
    if (value.contains(name)) selected[name] = Select(value[name], below);
  return selected;
}

}  // namespace holdfast::fakes
