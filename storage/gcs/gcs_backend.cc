#include "storage/gcs/gcs_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "storage/gcs/download.h"
#include "storage/gcs/service.h"
#include "storage/gcs/upload.h"
#include "storage/layout.h"

namespace holdfast::storage::gcs {
namespace {

using nlohmann::json;

bool IsNamePart(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
}

class GcsBackend final : public Backend {
 public:
  GcsBackend(std::unique_ptr<Service> service, std::string directory)
      : service_(std::move(service)),
        directory_(std::move(directory)),
        // An upload session is known to its writer only, and expires after a week.
        capabilities_{.write_bytes = service_->settings().chunk_bytes,
                      .lists_unfinished = false,
                      .keeps_deleted_for_readers = false} {}

  const Capabilities& capabilities() const override { return capabilities_; }
  void SetDeadline(http::Clock::time_point deadline) override { service_->SetDeadline(deadline); }

  std::string Describe(std::string_view key) const override {
    return fmt::format("gs://{}/{}{}", service_->bucket(), directory_, key);
  }

  // A bucket has no directories to make; but rights to create and to delete are separate there.
  Status Prepare() override {
    // A name of layout.h with its mark of unfinished objects: what a crash leaves is debris.
    const std::string probe = "manifest-000000.h5" + std::string(kUnfinishedMark) + "probe";
    HOLDFAST_CHECK(Delete(probe));
    HOLDFAST_CHECK(PutIfAbsent(probe, {}));
    return Delete(probe);
  }

  Result<std::unique_ptr<ObjectWriter>> Create(const std::string& key) override {
    return std::make_unique<Upload>(*service_, directory_ + key, "writing " + Describe(key));
  }

  Result<std::unique_ptr<ObjectReader>> Open(const std::string& key) override {
    return Download::Open(*service_, directory_ + key, "reading " + Describe(key));
  }

  Status PutIfAbsent(const std::string& key, std::span<const std::byte> contents) override {
    Upload upload(*service_, directory_ + key, "writing " + Describe(key));
    HOLDFAST_CHECK(upload.Append(contents));
    return upload.Finish();
  }

  Result<std::vector<ObjectInfo>> List(const std::string& prefix) override {
    const std::string what = "listing " + Describe(prefix);
    const std::string url =
        service_->ObjectsUrl() +
        "?fields=items(name,size),nextPageToken&prefix=" + http::Escape(directory_ + prefix);
    std::vector<ObjectInfo> objects;
    std::string page;
    do {
      const std::string suffix = page.empty() ? "" : "&pageToken=" + http::Escape(page);
      HOLDFAST_TRY(const http::Response response, service_->Call({.url = url + suffix}, what));
      if (response.status != 200) return std::unexpected(service_->ToError(response, what));
      HOLDFAST_TRY(page, ReadPage(response.body, what, objects));
    } while (!page.empty());
    std::ranges::sort(objects, {}, &ObjectInfo::key);
    return objects;
  }

  Status Delete(const std::string& key) override {
    const std::string what = "removing " + Describe(key);
    HOLDFAST_TRY(
        const http::Response response,
        service_->Call({.method = "DELETE", .url = service_->ObjectUrl(directory_ + key)}, what));
    const bool gone = response.status / 100 == 2 || response.status == 404;
    return gone ? Status() : std::unexpected(service_->ToError(response, what));
  }

  Status RemoveIfEmpty() override { return {}; }

 private:
  // Adds a page's objects and returns the token of the next page, or "".
  Result<std::string> ReadPage(const std::string& body, const std::string& what,
                               std::vector<ObjectInfo>& objects) const {
    // The only exceptions are those of a body that is not as documented.
    try {
      const json page = json::parse(body);
      for (const json& item : page.value("items", json::array())) {
        const std::string name = item.at("name");
        const std::string size = item.at("size");
        ObjectInfo object{.key = name.substr(directory_.size())};
        std::from_chars(size.data(), size.data() + size.size(), object.size_bytes);
        objects.push_back(std::move(object));
      }
      return page.value("nextPageToken", "");
    } catch (const std::exception& error) {
      return Fail(Code::kInternal, fmt::format("{}: {}", what, error.what()));
    }
  }

  const std::unique_ptr<Service> service_;
  const std::string directory_;  // "prefix/4242/"
  const Capabilities capabilities_;
};

}  // namespace

Result<Location> ParseLocation(std::string_view url) {
  constexpr std::string_view kScheme = "gs://";
  const auto bad = [&](std::string_view why) {
    return Fail(Code::kInvalid,
                fmt::format("'{}': {}; write gs://BUCKET/PREFIX", std::string(url), why));
  };
  if (!url.starts_with(kScheme)) return bad("not a Cloud Storage URL");
  const std::string_view rest = url.substr(kScheme.size());
  const std::string_view bucket = rest.substr(0, rest.find('/'));
  // https://cloud.google.com/storage/docs/buckets#naming
  if (bucket.size() < 3 || bucket.size() > 222 || !std::ranges::all_of(bucket, IsNamePart))
    return bad("a bucket's name has 3 to 222 letters, digits, '-', '_' and '.'");
  std::string_view prefix = rest.substr(std::min(rest.size(), bucket.size() + 1));
  while (prefix.ends_with('/')) prefix.remove_suffix(1);
  const bool parts_fine = std::ranges::all_of(
      prefix, [](char c) { return IsNamePart(c) || std::string_view("/=+@~,").contains(c); });
  if (!parts_fine || prefix.starts_with('/') || prefix.contains("//") || prefix.size() > 512)
    return bad("a prefix has letters, digits and -_.=+@~, between single slashes, at most 512");
  return Location{.bucket = std::string(bucket), .prefix = std::string(prefix)};
}

Result<std::unique_ptr<Backend>> MakeGcsBackend(const std::string& url, const std::string& job,
                                                Settings settings) {
  HOLDFAST_TRY(const Location location, ParseLocation(url));
  HOLDFAST_TRY(auto service, Service::Open(std::move(settings), location.bucket));
  const std::string base = location.prefix.empty() ? "" : location.prefix + "/";
  return std::make_unique<GcsBackend>(std::move(service), base + job + "/");
}

}  // namespace holdfast::storage::gcs
