// Cloud Storage's JSON API: its URLs, its tokens, its errors (storage/remote/service.h has the
// rest). Used by the back end's parts in this directory only. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "storage/gcs/credentials.h"
#include "storage/gcs/settings.h"
#include "storage/remote/service.h"

namespace holdfast::storage::gcs {

class Service final : public remote::Service {
 public:
  // Settings with STORAGE_EMULATOR_HOST applied, and credentials found. Touches no network.
  static Result<std::unique_ptr<Service>> Open(Settings settings, std::string bucket);
  // Opened already, over the given credentials (tests).
  Service(Settings settings, std::string bucket, std::unique_ptr<http::Client> client,
          std::unique_ptr<Credentials> credentials);

  const Settings& settings() const { return settings_; }
  const std::string& bucket() const { return bucket_; }
  // "https://storage.googleapis.com/storage/v1/b/BUCKET/o" and, for a name, that object's.
  std::string ObjectsUrl() const;
  std::string ObjectUrl(std::string_view name) const;
  // Where objects are uploaded to.
  std::string UploadUrl() const;

  // With a token. (Upload sessions take SendPlain: their URL is the authorization.)
  http::Outcome SendAuthorized(http::Request request) override;
  Error ToError(const http::Response& response, const std::string& what) const override;

 private:
  const Settings settings_;
  const std::string bucket_;
  const std::unique_ptr<Credentials> credentials_;
};

}  // namespace holdfast::storage::gcs
