#include "storage/gcs/gcs_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/numbers.h"
#include "storage/gcs/json_text.h"
#include "storage/gcs/service.h"
#include "storage/gcs/upload.h"
#include "storage/layout.h"
#include "storage/remote/download.h"
#include "storage/remote/listing.h"

namespace holdfast::storage::gcs {
namespace {

using nlohmann::json;

// Asks for the object's size, generation and checksum; kNotFound if it does not exist.
Result<std::unique_ptr<ObjectReader>> OpenDownload(Service& service, const std::string& name,
                                                   const std::string& what) {
  const std::string url = service.ObjectUrl(name);
  HOLDFAST_TRY(const http::Response response,
               service.Call({.url = url + "?fields=size,generation,crc32c"}, what));
  if (response.status == 404) return Fail(Code::kNotFound, what + ": no such object");
  if (response.status != 200) return std::unexpected(service.ToError(response, what));
  const json object = json::parse(response.body, nullptr, false);
  const std::string generation = TextOf(object, "generation"), crc = TextOf(object, "crc32c");
  const std::string size_text = TextOf(object, "size");
  uint64_t size = 0;
  const auto [end, error] =
      std::from_chars(size_text.data(), size_text.data() + size_text.size(), size);
  if (error != std::errc() || end != size_text.data() + size_text.size() || generation.empty() ||
      crc.empty())
    return Fail(Code::kInternal,
                what + ": the answer lacks the object's size, generation or checksum");
  return std::make_unique<remote::Download>(
      service,
      remote::Source{.url = url + "?alt=media&generation=" + http::Escape(generation),
                     .size_bytes = size,
                     .checksum =
                         [](const std::vector<remote::Piece>& blocks) {
                           return remote::Crc32cToText(remote::CombineCrc32c(blocks));
                         },
                     .expected = crc},
      what);
}

class GcsBackend final : public Backend {
 public:
  GcsBackend(std::unique_ptr<Service> service, std::string base, const std::string& job)
      : service_(std::move(service)),
        base_(std::move(base)),
        directory_(base_ + job + "/"),
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
    return OpenDownload(*service_, directory_ + key, "reading " + Describe(key));
  }

  Status PutIfAbsent(const std::string& key, std::span<const std::byte> contents) override {
    Upload upload(*service_, directory_ + key, "writing " + Describe(key));
    HOLDFAST_CHECK(upload.Append(contents));
    return upload.Finish();
  }

  Result<std::vector<ObjectInfo>> List(const std::string& prefix) override {
    return ListBelow(directory_, prefix);
  }

  Result<std::vector<std::string>> Beside(const std::string& prefix) override {
    return ListBelow(base_, prefix, "&delimiter=%2F").transform(remote::PlacesOf);
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
  // The objects whose names begin with both; their keys are without the first.
  Result<std::vector<ObjectInfo>> ListBelow(const std::string& root, const std::string& prefix,
                                            const std::string& parameters = "") {
    return remote::ListPages(
        *service_,
        service_->ObjectsUrl() + "?fields=items(name,size),prefixes,nextPageToken&prefix=" +
            http::Escape(root + prefix) + parameters,
        "pageToken", "listing gs://" + service_->bucket() + "/" + root + prefix,
        [&](const std::string& body, std::vector<ObjectInfo>& objects) {
          return ReadPage(body, root, objects);
        });
  }

  const std::unique_ptr<Service> service_;
  const std::string base_;       // "prefix/"
  const std::string directory_;  // "prefix/lab-4242-20261128T004824Z/"
  const Capabilities capabilities_;
};

}  // namespace

Result<std::string> ReadPage(const std::string& body, const std::string& root,
                             std::vector<ObjectInfo>& objects) {
  const auto add = [&](const std::string& name, std::optional<uint64_t> size) -> Status {
    if (!name.starts_with(root) || !size)
      return Fail(Code::kInternal, "the answer lists what was not asked for");
    objects.push_back({.key = name.substr(root.size()), .size_bytes = *size});
    return {};
  };
  // The only exceptions are those of a body that is not as documented.
  try {
    const json page = json::parse(body);
    for (const json& item : page.value("items", json::array()))
      HOLDFAST_CHECK(
          add(item.at("name"), ParseNumber<uint64_t>(item.at("size").get<std::string>())));
    for (const json& prefix : page.value("prefixes", json::array())) HOLDFAST_CHECK(add(prefix, 0));
    return page.value("nextPageToken", "");
  } catch (const json::exception& error) {
    return Fail(Code::kInternal, error.what());
  }
}

Result<std::unique_ptr<Backend>> MakeGcsBackend(const std::string& url, const std::string& job,
                                                Settings settings) {
  HOLDFAST_TRY(const BucketUrl location, ParseLocation(url));
  HOLDFAST_TRY(auto service, Service::Open(std::move(settings), location.bucket));
  const std::string base = location.prefix.empty() ? "" : location.prefix + "/";
  return std::make_unique<GcsBackend>(std::move(service), base, job);
}

Result<std::unique_ptr<Backend>> Open(const JobPlace& place, const config::Cloud& cloud) {
  return MakeGcsBackend(place.url, place.job, SettingsOf(cloud));
}

}  // namespace holdfast::storage::gcs
