#include "storage/gcs/service.h"

#include <fmt/format.h>

#include <cstdlib>

#include "storage/gcs/json_text.h"

namespace holdfast::storage::gcs {
namespace {

// error.message of the JSON API's error body, which is written for people:
// "sa@project.iam... does not have storage.objects.create access to ...".
std::string MessageOf(const http::Response& response) {
  constexpr size_t kLongest = 300;
  const nlohmann::json body = nlohmann::json::parse(response.body, nullptr, false);
  const std::string message =
      body.is_object() ? TextOf(body.value("error", nlohmann::json()), "message") : "";
  return message.empty() ? "" : ": " + message.substr(0, kLongest);
}

Code CodeOf(int status) {
  switch (status) {
    case 400:
      return Code::kInvalid;
    case 401:
    case 403:
      return Code::kDenied;
    case 404:
    case 410:
      return Code::kNotFound;
    case 409:
    case 412:
      return Code::kConflict;
    case 408:
    case 429:
      return Code::kUnavailable;
    default:
      return status >= 500 ? Code::kUnavailable : Code::kInternal;
  }
}

std::string RemedyOf(int status, const std::string& bucket) {
  switch (status) {
    case 401:
      return "; the credentials were refused: check that the service account and its key still "
             "exist and that this machine's clock is right";
    case 403:
      return "; grant the service account roles/storage.objectUser on bucket " + bucket;
    case 404:
      return "; check that bucket " + bucket + " exists and that the URL names the right one";
    case 412:
      return "; an object of that name exists already";
    case 429:
      return "; the bucket's request rate is exceeded: use fewer writers at once";
    default:
      return "";
  }
}

}  // namespace

Result<std::unique_ptr<Service>> Service::Open(Settings settings, std::string bucket) {
  if (const char* emulator = std::getenv("STORAGE_EMULATOR_HOST"); emulator != nullptr) {
    settings.endpoint = emulator;
    if (!settings.endpoint.contains("://")) settings.endpoint.insert(0, "http://");
  }
  if (const char* host = std::getenv("GCE_METADATA_HOST"); host != nullptr)
    settings.metadata_url = std::string("http://") + host;
  while (settings.endpoint.ends_with('/')) settings.endpoint.pop_back();
  auto client = std::make_unique<http::Client>(
      http::ClientOptions{.ca_file = settings.ca_file, .proxy = settings.proxy});
  HOLDFAST_TRY(auto credentials,
               FindCredentials(settings.key_file, settings.metadata_url, *client));
  return std::make_unique<Service>(std::move(settings), std::move(bucket), std::move(client),
                                   std::move(credentials));
}

Service::Service(Settings settings, std::string bucket, std::unique_ptr<http::Client> client,
                 std::unique_ptr<Credentials> credentials)
    : remote::Service({.patience = settings.patience,
                       .stall_timeout = settings.stall_timeout,
                       .read_bytes = settings.read_bytes},
                      std::move(client)),
      settings_(std::move(settings)),
      bucket_(std::move(bucket)),
      credentials_(std::move(credentials)) {}

std::string Service::ObjectsUrl() const {
  return fmt::format("{}/storage/v1/b/{}/o", settings_.endpoint, http::Escape(bucket_));
}

std::string Service::ObjectUrl(std::string_view name) const {
  return ObjectsUrl() + "/" + http::Escape(name);
}

std::string Service::UploadUrl() const {
  return fmt::format("{}/upload/storage/v1/b/{}/o", settings_.endpoint, http::Escape(bucket_));
}

http::Outcome Service::SendAuthorized(http::Request request) {
  const size_t given_headers = request.headers.size();
  for (bool again = true;; again = false) {
    request.headers.resize(given_headers);
    auto authorization = credentials_->Authorization();
    if (!authorization) return {.response = std::unexpected(std::move(authorization).error())};
    if (!authorization->empty()) request.headers.push_back("Authorization: " + *authorization);
    http::Outcome outcome = SendPlain(request);
    if (!again || !outcome.response || outcome.response->status != 401 || authorization->empty())
      return outcome;
    credentials_->Reject(*authorization);
  }
}

Error Service::ToError(const http::Response& response, const std::string& what) const {
  return Error(CodeOf(response.status),
               fmt::format("{}: HTTP status {}{}{}", what, response.status, MessageOf(response),
                           RemedyOf(response.status, bucket_)));
}

}  // namespace holdfast::storage::gcs
