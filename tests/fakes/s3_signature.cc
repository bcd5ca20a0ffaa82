#include "tests/fakes/s3_signature.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdlib>
#include <ctime>

namespace holdfast::fakes {
namespace {

std::string Hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes)
    for (const int nibble : {static_cast<unsigned char>(c) >> 4, c & 15})
      text += "0123456789abcdef"[nibble];
  return text;
}

std::string Hmac(std::string_view key, std::string_view data) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(data.data()), data.size(), out, &length);
  return {reinterpret_cast<const char*>(out), length};
}

// The value of "NAME=" in the Authorization header.
std::string Part(const std::string& text, const std::string& name) {
  const size_t at = text.find(name + "=");
  if (at == text.npos) return "";
  const size_t begin = at + name.size() + 1;
  return text.substr(begin, text.find_first_of(", ", begin) - begin);
}

std::string Encode(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) || std::string_view("-._~").contains(c)) {
      encoded += c;
    } else {
      encoded += '%';
      for (const int nibble : {static_cast<unsigned char>(c) >> 4, c & 15})
        encoded += "0123456789ABCDEF"[nibble];
    }
  }
  return encoded;
}

}  // namespace

std::string Sha256Hex(std::string_view data) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  EVP_Digest(data.data(), data.size(), out, &length, EVP_sha256(), nullptr);
  return Hex({reinterpret_cast<const char*>(out), length});
}

std::string CheckSignature(const Exchange& exchange, const std::string& body,
                           const std::map<std::string, std::string>& keys,
                           const std::string& region) {
  const std::string authorization = exchange.Header("authorization");
  if (!authorization.starts_with("AWS4-HMAC-SHA256 ")) return "AccessDenied";
  const std::string credential = Part(authorization, "Credential");
  const std::string id = credential.substr(0, credential.find('/'));
  const std::string date = exchange.Header("x-amz-date");
  const std::string scope = date.substr(0, 8) + "/" + region + "/s3/aws4_request";
  if (!keys.contains(id)) return "InvalidAccessKeyId";
  if (credential != id + "/" + scope) return "AuthorizationHeaderMalformed";
  tm when{};
  if (::strptime(date.c_str(), "%Y%m%dT%H%M%SZ", &when) == nullptr ||
      std::labs(::timegm(&when) - std::time(nullptr)) > 15 * 60)
    return "RequestTimeTooSkewed";
  const std::string hash = exchange.Header("x-amz-content-sha256");
  if (hash != "UNSIGNED-PAYLOAD" && hash != Sha256Hex(body)) return "XAmzContentSHA256Mismatch";

  std::string query;
  for (const auto& [name, value] : exchange.query)
    query += (query.empty() ? "" : "&") + Encode(name) + "=" + Encode(value);
  const std::string names = Part(authorization, "SignedHeaders");
  std::string headers;
  for (size_t at = 0; at < names.size();) {
    const size_t end = std::min(names.find(';', at), names.size());
    const std::string name = names.substr(at, end - at);
    headers += name + ":" + exchange.Header(name) + "\n";
    at = end + 1;
  }
  const std::string listed = ";" + names + ";";
  for (const auto& [name, value] : exchange.headers)
    if ((name == "host" || name.starts_with("x-amz-")) && !listed.contains(";" + name + ";"))
      return "AccessDenied";
  const std::string request = exchange.method + "\n" + exchange.path + "\n" + query + "\n" +
                              headers + "\n" + names + "\n" + hash;
  std::string key = "AWS4" + keys.at(id);
  for (const std::string& piece :
       {date.substr(0, 8), region, std::string("s3"), std::string("aws4_request")})
    key = Hmac(key, piece);
  const std::string to_sign =
      "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + Sha256Hex(request);
  return Hex(Hmac(key, to_sign)) == Part(authorization, "Signature") ? "" : "SignatureDoesNotMatch";
}

}  // namespace holdfast::fakes
