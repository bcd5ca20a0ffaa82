// The S3 protocol: its URLs, signatures and errors (storage/remote/service.h has the rest). Used by
// the back end's parts in this directory only. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "storage/remote/service.h"
#include "storage/s3/credentials.h"
#include "storage/s3/settings.h"

namespace holdfast::storage::s3 {

class Service final : public remote::Service {
 public:
  // Settings completed from the environment, and credentials found. Touches no network.
  static Result<std::unique_ptr<Service>> Open(Settings settings, std::string bucket);
  Service(const Settings& settings, std::string bucket, std::unique_ptr<http::Client> client,
          std::unique_ptr<Credentials> credentials);

  const Settings& settings() const { return settings_; }
  const std::string& bucket() const { return bucket_; }
  std::string BucketUrl() const;
  std::string ObjectUrl(std::string_view name) const;

  // Signed, over the body as well, so that a server does not take one that was damaged on its way.
  http::Outcome SendAuthorized(http::Request request) override;
  // Also errors that S3 calls transient though their status is not; not 501.
  bool IsTransient(const Result<http::Response>& response) const override;
  // "WHAT: HTTP status 403: AccessDenied: MESSAGE; REMEDY".
  Error ToError(const http::Response& response, const std::string& what) const override;

 private:
  const Settings settings_;
  const std::string bucket_;
  const std::unique_ptr<Credentials> credentials_;
};

// The code of an error's body, "NoSuchKey", or "".
std::string ErrorCodeOf(const http::Response& response);

}  // namespace holdfast::storage::s3
