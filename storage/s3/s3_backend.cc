#include "storage/s3/s3_backend.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>

#include "base/numbers.h"
#include "storage/layout.h"
#include "storage/remote/crc32c.h"
#include "storage/remote/download.h"
#include "storage/remote/listing.h"
#include "storage/s3/service.h"
#include "storage/s3/upload.h"
#include "storage/s3/xml_text.h"

namespace holdfast::storage::s3 {
namespace {

using remote::Piece;

// What the server keeps of an object of parts: the CRC32C of the parts' CRC32Cs, and their number.
std::string ChecksumOfParts(const std::vector<Piece>& blocks, uint64_t part_bytes) {
  std::vector<Piece> part;
  uint64_t part_size = 0;
  uint32_t crc = 0;
  size_t parts = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    part.push_back(blocks[i]);
    part_size += blocks[i].size_bytes;
    if (part_size < part_bytes && i + 1 < blocks.size()) continue;
    const uint32_t whole = remote::CombineCrc32c(part);
    std::array<std::byte, 4> bytes;
    for (size_t b = 0; b < 4; ++b) bytes[b] = static_cast<std::byte>(whole >> (24 - 8 * b));
    crc = remote::ExtendCrc32c(crc, bytes);
    ++parts;
    part.clear();
    part_size = 0;
  }
  return fmt::format("{}-{}", remote::Crc32cToText(crc), parts);
}

// Asks for the object's size, version and checksum; kNotFound if it does not exist.
Result<std::unique_ptr<ObjectReader>> OpenDownload(Service& service, const std::string& name,
                                                   const std::string& what) {
  const std::string url = service.ObjectUrl(name);
  HOLDFAST_TRY(
      const http::Response head,
      service.Call({.method = "HEAD", .url = url, .headers = {"x-amz-checksum-mode: ENABLED"}},
                   what));
  if (head.status == 404) return Fail(Code::kNotFound, what + ": no such object");
  if (head.status != 200) return std::unexpected(service.ToError(head, what));
  const auto size = ParseNumber<uint64_t>(head.Header("content-length"));
  const std::string_view etag = head.Header("etag");
  if (!size || etag.empty())
    return Fail(Code::kInternal, what + ": the answer lacks the object's size or ETag");
  remote::Source source{
      .url = url, .headers = {fmt::format("If-Match: {}", etag)}, .size_bytes = *size};
  source.expected = head.Header(kChecksumHeader);
  // A server that keeps none keeps our own.
  if (source.expected.empty()) source.expected = head.Header(kCrcHeader);
  const auto part_bytes = ParseNumber<uint64_t>(head.Header(kPartBytesHeader));
  if (!source.expected.contains('-')) {
    if (!source.expected.empty())
      source.checksum = [](const std::vector<Piece>& blocks) {
        return remote::Crc32cToText(remote::CombineCrc32c(blocks));
      };
  } else if (part_bytes && *part_bytes > 0 && *part_bytes % service.read_bytes() == 0) {
    source.checksum = [bytes = *part_bytes](const std::vector<Piece>& blocks) {
      return ChecksumOfParts(blocks, bytes);
    };
  } else {
    source.expected.clear();  // of parts that are not blocks: only the manifest's digests tell
  }
  return std::make_unique<remote::Download>(service, std::move(source), what);
}

class S3Backend final : public Backend {
 public:
  S3Backend(std::unique_ptr<Service> service, std::string base, const std::string& job)
      : service_(std::move(service)),
        base_(std::move(base)),
        directory_(base_ + job + "/"),
        // A multipart upload is known to its writer only; the bucket's lifecycle ends it.
        capabilities_{.write_bytes = service_->settings().part_bytes,
                      .lists_unfinished = false,
                      .keeps_deleted_for_readers = false} {}

  const Capabilities& capabilities() const override { return capabilities_; }
  void SetDeadline(http::Clock::time_point deadline) override { service_->SetDeadline(deadline); }

  std::string Describe(std::string_view key) const override {
    return fmt::format("s3://{}/{}{}", service_->bucket(), directory_, key);
  }

  // A bucket has no directories to make; but rights to create and to delete are separate there,
  // and not every server keeps two writers from creating the same object.
  Status Prepare() override {
    uint64_t random = 0;
    if (::getrandom(&random, sizeof random, 0) != sizeof random) std::abort();
    // A name of layout.h with its mark of unfinished objects: what a crash leaves is debris.
    const std::string probe = fmt::format("manifest-000000.h5{}{:016x}", kUnfinishedMark, random);
    Status first = PutIfAbsent(probe, {});
    if (!first && first.error().code() == Code::kUnsupported)
      return std::unexpected(Lacking(first.error().message()));
    HOLDFAST_CHECK(std::move(first));
    const Status second = PutIfAbsent(probe, {});
    HOLDFAST_CHECK(Delete(probe));
    if (second)
      return std::unexpected(
          Lacking("two writes of one object under the condition both succeeded"));
    if (second.error().code() == Code::kConflict) return {};
    if (second.error().code() == Code::kUnsupported)
      return std::unexpected(Lacking(second.error().message()));
    return second;
  }

  Result<std::unique_ptr<ObjectWriter>> Create(const std::string& key) override {
    return std::make_unique<Upload>(*service_, directory_ + key, "writing " + Describe(key));
  }

  Result<std::unique_ptr<ObjectReader>> Open(const std::string& key) override {
    return OpenDownload(*service_, directory_ + key, "reading " + Describe(key));
  }

  Status PutIfAbsent(const std::string& key, std::span<const std::byte> contents) override {
    return Upload(*service_, directory_ + key, "writing " + Describe(key)).Put(contents);
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
    const bool gone = response.status / 100 == 2 ||
                      (response.status == 404 && ErrorCodeOf(response) != "NoSuchBucket");
    return gone ? Status() : std::unexpected(service_->ToError(response, what));
  }

  Status RemoveIfEmpty() override { return {}; }

 private:
  // The objects whose names begin with both; their keys are without the first.
  Result<std::vector<ObjectInfo>> ListBelow(const std::string& root, const std::string& prefix,
                                            const std::string& parameters = "") {
    return remote::ListPages(
        *service_,
        service_->BucketUrl() + "?list-type=2&prefix=" + http::Escape(root + prefix) + parameters,
        "continuation-token", "listing s3://" + service_->bucket() + "/" + root + prefix,
        [&](const std::string& body, std::vector<ObjectInfo>& objects) {
          return ReadPage(body, root, objects);
        });
  }

  Error Lacking(const std::string& why) const {
    return Error(
        Code::kUnsupported,
        fmt::format("preparing {}: the server has no conditional writes (If-None-Match: *), "
                    "without which a committed checkpoint could be overwritten: {}; use a "
                    "server that has them (docs/operations/s3.md)",
                    Describe(""), why));
  }

  const std::unique_ptr<Service> service_;
  const std::string base_;       // "prefix/"
  const std::string directory_;  // "prefix/lab-4242-20261128T004824Z/"
  const Capabilities capabilities_;
};

}  // namespace

Result<std::string> ReadPage(const std::string& body, const std::string& root,
                             std::vector<ObjectInfo>& objects) {
  const std::string_view page = ElementOf(body, "ListBucketResult");
  if (page.empty()) return Fail(Code::kInternal, "the answer is not a list");
  const auto add = [&](const std::string& name, std::optional<uint64_t> size) -> Status {
    if (!name.starts_with(root) || !size)
      return Fail(Code::kInternal, "the answer lists what was not asked for");
    objects.push_back({.key = name.substr(root.size()), .size_bytes = *size});
    return {};
  };
  for (const std::string_view item : ElementsOf(page, "Contents"))
    HOLDFAST_CHECK(add(TextOf(item, "Key"), ParseNumber<uint64_t>(TextOf(item, "Size"))));
  for (const std::string_view item : ElementsOf(page, "CommonPrefixes"))
    HOLDFAST_CHECK(add(TextOf(item, "Prefix"), 0));
  if (TextOf(page, "IsTruncated") != "true") return std::string();
  std::string next = TextOf(page, "NextContinuationToken");
  if (next.empty()) return Fail(Code::kInternal, "the list goes on, but not where");
  return next;
}

Result<std::unique_ptr<Backend>> MakeS3Backend(const std::string& url, const std::string& job,
                                               const Settings& settings) {
  HOLDFAST_TRY(const BucketUrl location, ParseLocation(url));
  HOLDFAST_TRY(auto service, Service::Open(settings, location.bucket));
  const std::string base = location.prefix.empty() ? "" : location.prefix + "/";
  return std::make_unique<S3Backend>(std::move(service), base, job);
}

Result<std::unique_ptr<Backend>> Open(const JobPlace& place, const config::Cloud& cloud) {
  return MakeS3Backend(place.url, place.job, SettingsOf(cloud));
}

}  // namespace holdfast::storage::s3
