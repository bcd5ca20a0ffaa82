#include "storage/gcs/credentials.h"

#include <fmt/format.h>
#include <jwt.h>

#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/deleter.h"
#include "base/files.h"
#include "storage/gcs/json_text.h"
#include "storage/remote/retry.h"
#include "storage/remote/secret_file.h"

namespace holdfast::storage::gcs {
namespace {

using std::chrono::seconds;

constexpr const char* kScope = "https://www.googleapis.com/auth/devstorage.read_write";
constexpr const char* kRemedy =
    "name a service account key in the configuration (cloud.credentials_file) or in "
    "GOOGLE_APPLICATION_CREDENTIALS, or give this machine a service account with the "
    "storage scope";

Result<nlohmann::json> ParseObject(const std::string& text, const std::string& what) {
  nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return Fail(Code::kInvalid, what + ": not a JSON object");
  return json;
}

// Both kinds of token server answer alike (RFC 6749, 5.1 and 5.2). What they send is never quoted,
// but for the two fields that are meant for people.
Result<Token> ReadToken(const http::Response& response, const std::string& what) {
  const nlohmann::json json = nlohmann::json::parse(response.body, nullptr, false);
  if (response.status != 200) {
    const std::string cause = TextOf(json, "error"), detail = TextOf(json, "error_description");
    return Fail(response.status == 404 ? Code::kNotFound : Code::kDenied,
                fmt::format("{}: HTTP status {}{}{}{}{}", what, response.status,
                            cause.empty() ? "" : ": ", cause, detail.empty() ? "" : ": ", detail));
  }
  Token token;
  token.text = TextOf(json, "access_token");
  if (token.text.empty()) return Fail(Code::kInternal, what + ": the answer holds no token");
  const auto lifetime = json.find("expires_in");
  token.lifetime =
      seconds(lifetime != json.end() && lifetime->is_number() ? lifetime->get<int64_t>() : 300);
  return token;
}

Result<Token> TokenIn(Result<http::Response> response, const std::string& what) {
  if (!response) return std::unexpected(std::move(response).error().Wrap(what));
  return ReadToken(*response, what);
}

class ServiceAccount final : public TokenSource {
 public:
  ServiceAccount(http::Client& client, std::string email, std::string key_id, std::string key,
                 std::string token_uri)
      : client_(client),
        email_(std::move(email)),
        key_id_(std::move(key_id)),
        key_(std::move(key)),
        token_uri_(std::move(token_uri)) {}

  Result<Token> Fetch() override {
    const std::string what = "getting an access token for " + email_;
    auto assertion = Sign();
    if (!assertion) return std::unexpected(std::move(assertion).error().Wrap(what));
    const std::string form =
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=" + *assertion;
    return TokenIn(remote::SendPatiently(
                       client_, {.method = "POST",
                                 .url = token_uri_,
                                 .headers = {"Content-Type: application/x-www-form-urlencoded"},
                                 .body = AsBytes(form)}),
                   what);
  }

 private:
  Result<std::string> Sign() const {
    jwt_t* made = nullptr;
    if (jwt_new(&made) != 0) return Fail(Code::kInternal, "no memory for a JWT");
    const std::unique_ptr<jwt_t, Deleter<jwt_free>> jwt(made);
    const long now = std::time(nullptr);
    int failed =
        jwt_set_alg(jwt.get(), JWT_ALG_RS256, reinterpret_cast<const unsigned char*>(key_.data()),
                    static_cast<int>(key_.size()));
    failed |= jwt_add_header(jwt.get(), "kid", key_id_.c_str());
    failed |= jwt_add_grant(jwt.get(), "iss", email_.c_str());
    failed |= jwt_add_grant(jwt.get(), "scope", kScope);
    failed |= jwt_add_grant(jwt.get(), "aud", token_uri_.c_str());
    failed |= jwt_add_grant_int(jwt.get(), "iat", now);
    failed |= jwt_add_grant_int(jwt.get(), "exp", now + 3600);
    char* encoded = failed != 0 ? nullptr : jwt_encode_str(jwt.get());
    if (encoded == nullptr)
      return Fail(Code::kInvalid,
                  "its private key cannot sign: download the service account key again");
    std::string text = encoded;
    jwt_free_str(encoded);
    return text;
  }

  http::Client& client_;
  const std::string email_, key_id_, key_, token_uri_;
};

class Metadata final : public TokenSource {
 public:
  Metadata(std::string url, http::Client& client) : client_(client), url_(std::move(url)) {}

  Result<Token> Fetch() override {
    auto token = TokenIn(
        remote::AskMetadataServer(
            client_, {.url = url_ + "/computeMetadata/v1/instance/service-accounts/default/token",
                      .headers = {"Metadata-Flavor: Google"}}),
        "getting an access token from the metadata server");
    if (token) return token;
    return Fail(token.error().code(), token.error().message() + "; " + kRemedy);
  }

 private:
  http::Client& client_;
  const std::string url_;
};

// A token endpoint sees a signed assertion only, but what it answers is trusted: it must be
// authenticated, unless it is on this machine (tests).
bool IsTrustworthy(const std::string& url) {
  return url.starts_with("https://") || url.starts_with("http://127.0.0.1:") ||
         url.starts_with("http://localhost:");
}

}  // namespace

Result<std::unique_ptr<TokenSource>> ServiceAccountTokens(const std::string& path,
                                                          http::Client& client) {
  const std::string what = "reading the service account key " + path;
  HOLDFAST_TRY(const std::string text, remote::ReadSecretFile(path, what));
  HOLDFAST_TRY(const nlohmann::json json, ParseObject(text, what));
  const std::string type = TextOf(json, "type");
  if (type != "service_account")
    return Fail(Code::kUnsupported,
                fmt::format("{}: it holds credentials of another type; create a key of a service "
                            "account, which is a file with \"type\": \"service_account\"",
                            what));
  const std::string email = TextOf(json, "client_email");
  const std::string key = TextOf(json, "private_key");
  const std::string token_uri = TextOf(json, "token_uri");
  if (email.empty() || key.empty() || token_uri.empty())
    return Fail(Code::kInvalid,
                what + ": client_email, private_key or token_uri is missing; download it again");
  if (!IsTrustworthy(token_uri))
    return Fail(Code::kInvalid, what + ": its token_uri is not an https URL; download it again");
  return std::make_unique<ServiceAccount>(client, email, TextOf(json, "private_key_id"), key,
                                          token_uri);
}

std::unique_ptr<TokenSource> MetadataTokens(std::string url, http::Client& client) {
  return std::make_unique<Metadata>(std::move(url), client);
}

Result<std::unique_ptr<Credentials>> FindCredentials(const std::string& key_file,
                                                     const std::string& metadata_url,
                                                     http::Client& client) {
  const char* from_environment = std::getenv("GOOGLE_APPLICATION_CREDENTIALS");
  const std::string path = !key_file.empty()             ? key_file
                           : from_environment != nullptr ? from_environment
                                                         : "";
  if (!path.empty()) {
    HOLDFAST_TRY(auto source, ServiceAccountTokens(path, client));
    return std::make_unique<Credentials>(std::move(source));
  }
  if (std::getenv("STORAGE_EMULATOR_HOST") != nullptr)
    return std::make_unique<Credentials>(nullptr);
  return std::make_unique<Credentials>(MetadataTokens(metadata_url, client));
}

}  // namespace holdfast::storage::gcs
