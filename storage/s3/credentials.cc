#include "storage/s3/credentials.h"

#include <fmt/format.h>

#include <cstdlib>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "storage/remote/retry.h"
#include "storage/remote/secret_file.h"

namespace holdfast::storage::s3 {
namespace {

using std::chrono::seconds;

constexpr seconds kForever{365 * 24 * 3600};
constexpr const char* kWhat = "getting credentials from the metadata server";
constexpr const char* kRemedy =
    "; name a file of access keys in the configuration (cloud.s3_credentials_file), or give this "
    "machine a role";

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

Result<std::string> Ask(http::Client& client, http::Request request) {
  const auto response = remote::AskMetadataServer(client, std::move(request));
  if (!response)
    return Fail(response.error().code(),
                fmt::format("{}: {}{}", kWhat, response.error().message(), kRemedy));
  if (response->status != 200)
    return Fail(response->status == 404 ? Code::kNotFound : Code::kDenied,
                fmt::format("{}: HTTP status {}{}", kWhat, response->status, kRemedy));
  return response->body;
}

std::string Field(const nlohmann::json& object, const char* name) {
  if (!object.is_object()) return "";
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// "2026-11-26T20:00:00Z": how long from now.
seconds LifetimeUntil(const std::string& time) {
  tm end{};
  if (::strptime(time.c_str(), "%Y-%m-%dT%H:%M:%SZ", &end) == nullptr) return seconds(300);
  return seconds(::timegm(&end) - std::time(nullptr));
}

std::unique_ptr<Credentials> Fixed(AccessKey key) {
  return std::make_unique<Credentials>([key = std::move(key)] {
    return Result<remote::Fresh<AccessKey>>(
        remote::Fresh<AccessKey>{.value = key, .lifetime = kForever});
  });
}

}  // namespace

Result<AccessKey> ParseCredentials(std::string_view text, const std::string& profile) {
  std::map<std::string, std::string, std::less<>> values;
  bool ours = false, found = false;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = Trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.starts_with('#') || line.starts_with(';')) continue;
    if (line.starts_with('[')) {
      ours = Trim(line.substr(1, line.find(']') - 1)) == profile;
      found = found || ours;
    } else if (const size_t equals = line.find('='); ours && equals != line.npos) {
      values[std::string(Trim(line.substr(0, equals)))] = Trim(line.substr(equals + 1));
    }
  }
  if (!found) return Fail(Code::kNotFound, fmt::format("it has no profile [{}]", profile));
  AccessKey key{.id = values["aws_access_key_id"],
                .secret = values["aws_secret_access_key"],
                .session_token = values["aws_session_token"]};
  if (key.id.empty() || key.secret.empty())
    return Fail(
        Code::kInvalid,
        fmt::format("profile [{}] lacks aws_access_key_id or aws_secret_access_key", profile));
  return key;
}

// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html
Result<remote::Fresh<AccessKey>> FetchFromMetadata(const std::string& url, http::Client& client) {
  HOLDFAST_TRY(const std::string session,
               Ask(client, {.method = "PUT",
                            .url = url + "/latest/api/token",
                            .headers = {"X-aws-ec2-metadata-token-ttl-seconds: 300"},
                            .body = std::span<const std::byte>()}));
  const std::vector<std::string> headers{"X-aws-ec2-metadata-token: " + session};
  const std::string base = url + "/latest/meta-data/iam/security-credentials/";
  HOLDFAST_TRY(const std::string roles, Ask(client, {.url = base, .headers = headers}));
  const std::string role(Trim(std::string_view(roles).substr(0, roles.find('\n'))));
  HOLDFAST_TRY(const std::string body,
               Ask(client, {.url = base + http::Escape(role), .headers = headers}));
  const nlohmann::json json = nlohmann::json::parse(body, nullptr, false);
  AccessKey key{.id = Field(json, "AccessKeyId"),
                .secret = Field(json, "SecretAccessKey"),
                .session_token = Field(json, "Token")};
  if (key.id.empty() || key.secret.empty())
    return Fail(Code::kDenied,
                fmt::format("{}: the answer for role {} holds no key{}{}", kWhat, role,
                            Field(json, "Code").empty() ? "" : ": ", Field(json, "Code")));
  return remote::Fresh<AccessKey>{.value = std::move(key),
                                  .lifetime = LifetimeUntil(Field(json, "Expiration"))};
}

Result<std::unique_ptr<Credentials>> FindCredentials(const Settings& settings,
                                                     http::Client& client) {
  const AccessKey given{.id = FromEnvironment("AWS_ACCESS_KEY_ID"),
                        .secret = FromEnvironment("AWS_SECRET_ACCESS_KEY"),
                        .session_token = FromEnvironment("AWS_SESSION_TOKEN")};
  if (settings.credentials_file.empty() && !given.id.empty() && !given.secret.empty())
    return Fixed(given);
  const std::string path = settings.credentials_file.empty()
                               ? FromEnvironment("AWS_SHARED_CREDENTIALS_FILE")
                               : settings.credentials_file;
  if (!path.empty()) {
    const std::string what = "reading the S3 credentials " + path;
    HOLDFAST_TRY(const std::string text, remote::ReadSecretFile(path, what));
    auto key = ParseCredentials(text, settings.profile);
    if (!key) return std::unexpected(std::move(key).error().Wrap(what));
    return Fixed(std::move(*key));
  }
  return std::make_unique<Credentials>(
      [url = settings.metadata_url, &client] { return FetchFromMetadata(url, client); });
}

}  // namespace holdfast::storage::s3
