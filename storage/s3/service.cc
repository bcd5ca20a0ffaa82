#include "storage/s3/service.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "storage/s3/xml_text.h"

namespace holdfast::storage::s3 {
namespace {

constexpr const char* kDefaultRegion = "us-east-1";

// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
constexpr std::array<std::string_view, 6> kTransient{"ConditionalRequestConflict", "InternalError",
                                                     "OperationAborted",           "RequestTimeout",
                                                     "ServiceUnavailable",         "SlowDown"};
constexpr std::array<std::string_view, 3> kStaleKey{"ExpiredToken", "InvalidToken",
                                                    "TokenRefreshRequired"};

std::string Sha256Text(std::span<const std::byte> data) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned length = 0;
  EVP_Digest(data.data(), data.size(), digest.data(), &length, EVP_sha256(), nullptr);
  std::string text;
  for (unsigned i = 0; i < length; ++i)
    fmt::format_to(std::back_inserter(text), "{:02x}", digest[i]);
  return text;
}

Code CodeOf(int status, const std::string& code) {
  if (std::ranges::contains(kTransient, code)) return Code::kUnavailable;
  switch (status) {
    case 400:
      return Code::kInvalid;
    case 401:
    case 403:
      return Code::kDenied;
    case 404:
      return Code::kNotFound;
    case 409:
    case 412:
      return Code::kConflict;
    case 501:
      return Code::kUnsupported;
    case 408:
    case 429:
      return Code::kUnavailable;
    default:
      return status >= 500 ? Code::kUnavailable : Code::kInternal;
  }
}

std::string RemedyOf(const http::Response& response, const std::string& code,
                     const std::string& bucket) {
  std::string region = TextOf(response.body, "Region");
  if (region.empty()) region = response.Header("x-amz-bucket-region");
  if (response.status == 301 || code == "AuthorizationHeaderMalformed")
    return region.empty() ? "; set cloud.s3_region to the bucket's region"
                          : "; set cloud.s3_region to " + region;
  if (code == "RequestTimeTooSkewed") return "; set this machine's clock right";
  if (code == "SignatureDoesNotMatch" || code == "InvalidAccessKeyId")
    return "; check the access key and its secret (cloud.s3_credentials_file)";
  if (code == "SlowDown")
    return "; the bucket's request rate is exceeded: use fewer writers at once";
  switch (response.status) {
    case 401:
    case 403:
      return "; grant the access key s3:ListBucket on bucket " + bucket +
             ", and s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload in it";
    case 404:
      return "; check that bucket " + bucket + " exists and that the URL names the right one";
    case 412:
      return "; an object of that name exists already";
    default:
      return "";
  }
}

std::string FromEnvironment(std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
  return "";
}

}  // namespace

std::string ErrorCodeOf(const http::Response& response) {
  return TextOf(ElementOf(response.body, "Error"), "Code");
}

Result<std::unique_ptr<Service>> Service::Open(Settings settings, std::string bucket) {
  if (settings.region.empty())
    settings.region = FromEnvironment({"AWS_REGION", "AWS_DEFAULT_REGION"});
  if (settings.region.empty()) settings.region = kDefaultRegion;
  if (settings.endpoint.empty())
    settings.endpoint = FromEnvironment({"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"});
  while (settings.endpoint.ends_with('/')) settings.endpoint.pop_back();
  auto client = std::make_unique<http::Client>(
      http::ClientOptions{.ca_file = settings.ca_file, .proxy = settings.proxy});
  HOLDFAST_TRY(auto credentials, FindCredentials(settings, *client));
  return std::make_unique<Service>(settings, std::move(bucket), std::move(client),
                                   std::move(credentials));
}

Service::Service(const Settings& settings, std::string bucket, std::unique_ptr<http::Client> client,
                 std::unique_ptr<Credentials> credentials)
    : remote::Service(settings.limits, std::move(client)),
      settings_(settings),
      bucket_(std::move(bucket)),
      credentials_(std::move(credentials)) {}

std::string Service::BucketUrl() const {
  if (!settings_.endpoint.empty()) return settings_.endpoint + "/" + bucket_;
  // A certificate's wildcard is one label.
  if (bucket_.contains('.'))
    return fmt::format("https://s3.{}.amazonaws.com/{}", settings_.region, bucket_);
  return fmt::format("https://{}.s3.{}.amazonaws.com", bucket_, settings_.region);
}

std::string Service::ObjectUrl(std::string_view name) const {
  std::string url = BucketUrl();
  while (!name.empty()) {
    const size_t slash = std::min(name.find('/'), name.size());
    url += "/" + http::Escape(name.substr(0, slash));
    name.remove_prefix(std::min(slash + 1, name.size()));
  }
  return url;
}

http::Outcome Service::SendAuthorized(http::Request request) {
  request.headers.push_back("x-amz-content-sha256: " +
                            Sha256Text(request.body.value_or(std::span<const std::byte>())));
  const size_t given_headers = request.headers.size();
  for (bool again = true;; again = false) {
    request.headers.resize(given_headers);
    auto key = credentials_->Get();
    if (!key) return {.response = std::unexpected(std::move(key).error())};
    if (!key->session_token.empty())
      request.headers.push_back("x-amz-security-token: " + key->session_token);
    request.aws_signature = http::AwsSignature{
        .region = settings_.region, .service = "s3", .key_id = key->id, .secret = key->secret};
    http::Outcome outcome = SendPlain(request);
    const bool stale = outcome.response && outcome.response->status / 100 == 4 &&
                       std::ranges::contains(kStaleKey, ErrorCodeOf(*outcome.response));
    if (!again || !stale || key->session_token.empty()) return outcome;
    credentials_->Reject(*key);
  }
}

bool Service::IsTransient(const Result<http::Response>& response) const {
  if (response && response->status == 501) return false;
  return remote::Service::IsTransient(response) ||
         (response && std::ranges::contains(kTransient, ErrorCodeOf(*response)));
}

Error Service::ToError(const http::Response& response, const std::string& what) const {
  constexpr size_t kLongest = 300;
  const std::string code = ErrorCodeOf(response);
  const std::string message = TextOf(ElementOf(response.body, "Error"), "Message");
  return Error(CodeOf(response.status, code),
               fmt::format("{}: HTTP status {}{}{}{}{}{}", what, response.status,
                           code.empty() ? "" : ": ", code, message.empty() ? "" : ": ",
                           message.substr(0, kLongest), RemedyOf(response, code, bucket_)));
}

}  // namespace holdfast::storage::s3
