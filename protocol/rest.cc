#include "protocol/rest.h"

#include <fmt/format.h>
#include <sodium.h>

#include <array>
#include <nlohmann/json.hpp>

namespace holdfast::protocol {
namespace {

std::string HashOf(std::string_view text) {
  std::array<unsigned char, crypto_generichash_BYTES> hash;
  // Cannot fail: the sizes are constants it accepts, and hashing needs no sodium_init.
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(text.data()),
                     text.size(), nullptr, 0);
  std::array<char, 2 * hash.size() + 1> hex;
  sodium_bin2hex(hex.data(), hex.size(), hash.data(), hash.size());
  return hex.data();
}

}  // namespace

std::string RestPurpose(std::string_view method, std::string_view target, std::string_view body) {
  return fmt::format("holdfast-rest {} {} {}", method, target, HashOf(body));
}

std::string AnswerPurpose(std::string_view credential, int status, std::string_view body) {
  return fmt::format("holdfast-rest-answer {} {}", status,
                     HashOf(fmt::format("{}\n{}", credential, body)));
}

std::string ToText(const nlohmann::json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace holdfast::protocol
