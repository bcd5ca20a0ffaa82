// One connection pool to Cloud Storage's JSON API, with credentials, retries and errors for people.
// Used by the back end's parts in this directory only. Thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "base/http_client.h"
#include "storage/gcs/block_cache.h"
#include "storage/gcs/credentials.h"
#include "storage/gcs/retry.h"
#include "storage/gcs/settings.h"

namespace holdfast::storage::gcs {

class Service {
 public:
  // Settings with STORAGE_EMULATOR_HOST applied, and credentials found. Touches no network.
  static Result<std::unique_ptr<Service>> Open(Settings settings, std::string bucket);
  // Opened already, over the given credentials (tests).
  Service(Settings settings, std::string bucket, std::unique_ptr<http::Client> client,
          std::unique_ptr<Credentials> credentials);

  const Settings& settings() const { return settings_; }
  const std::string& bucket() const { return bucket_; }
  BlockCache& blocks() { return blocks_; }
  // "https://storage.googleapis.com/storage/v1/b/BUCKET/o" and, for a name, that object's.
  std::string ObjectsUrl() const;
  std::string ObjectUrl(std::string_view name) const;
  // Where objects are uploaded to.
  std::string UploadUrl() const;

  // One attempt, authorized; a second one with a new token if the first is refused (401).
  http::Outcome SendAuthorized(http::Request request);
  // One attempt without a token: upload sessions, whose URL is the authorization.
  http::Outcome SendPlain(http::Request request);
  // Attempts until the answer is not transient, or `patience` has passed. Any status may be the
  // answer but 408, 429 and 5xx, which have become errors. The request must be one that may be sent
  // twice.
  Result<http::Response> Call(http::Request request, const std::string& what);
  // The error for having given up on a transient answer.
  Error GivenUp(const Result<http::Response>& response, const std::string& what) const;
  // The error for an answer that is not success: what it means here and what to do.
  Error ToError(const http::Response& response, const std::string& what) const;
  // Until when an operation that makes no progress from now on is tried: for `patience`, but no
  // longer than until the deadline that was set, if that is still to come.
  http::Clock::time_point Deadline() const;
  // Backend::SetDeadline.
  void SetDeadline(http::Clock::time_point deadline) { deadline_ = deadline; }

 private:
  // So that several stalls fit into the time that is left.
  std::chrono::seconds StallTimeout() const;

  const Settings settings_;
  const std::string bucket_;
  const std::unique_ptr<http::Client> client_;
  const std::unique_ptr<Credentials> credentials_;
  BlockCache blocks_;
  std::atomic<http::Clock::time_point> deadline_{http::Clock::time_point::max()};
};

}  // namespace holdfast::storage::gcs
