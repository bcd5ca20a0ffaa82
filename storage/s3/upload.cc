#include "storage/s3/upload.h"

#include <fmt/format.h>
#include <sys/random.h>

#include "base/files.h"
#include "storage/remote/crc32c.h"
#include "storage/s3/xml_text.h"

namespace holdfast::storage::s3 {
namespace {

using remote::Crc32c;
using remote::Crc32cToText;

std::string RandomMark() {
  uint64_t words[2] = {};
  // Fails only for sizes above 256 bytes or before the kernel's generator is seeded, when it blocks
  // instead (getrandom(2)).
  if (::getrandom(words, sizeof words, 0) != sizeof words) std::abort();
  return fmt::format("{:016x}{:016x}", words[0], words[1]);
}

std::string Header(const char* name, const std::string& value) {
  return fmt::format("{}: {}", name, value);
}

constexpr const char* kIfFree = "If-None-Match: *";

}  // namespace

Upload::Upload(Service& service, std::string name, std::string what)
    : service_(service), name_(std::move(name)), what_(std::move(what)), mark_(RandomMark()) {}

Upload::~Upload() {
  if (in_flight_.valid()) in_flight_.wait();
  if (upload_id_.empty() || finished_) return;
  // Frees what the server keeps. If it fails, the bucket's lifecycle rule does.
  service_.SendAuthorized(
      {.method = "DELETE",
       .url = service_.ObjectUrl(name_) + "?uploadId=" + http::Escape(upload_id_),
       .deadline = http::Clock::now() + std::chrono::seconds(5)});
}

Status Upload::Append(std::span<const std::byte> data) {
  const size_t part_bytes = service_.settings().part_bytes;
  while (!data.empty()) {
    // A full part is sent only when more follows, so that the last one is never empty.
    if (buffer_.size() == part_bytes) HOLDFAST_CHECK(SendInFlight());
    if (buffer_.empty()) buffer_.reserve(part_bytes);
    const auto piece = data.first(std::min(data.size(), part_bytes - buffer_.size()));
    buffer_.insert(buffer_.end(), piece.begin(), piece.end());
    data = data.subspan(piece.size());
  }
  return {};
}

Status Upload::Finish() {
  if (upload_id_.empty()) return Put(buffer_);
  HOLDFAST_CHECK(SendInFlight());
  HOLDFAST_CHECK(WaitForPart());
  return Complete();
}

Status Upload::Put(std::span<const std::byte> data) {
  const std::string crc = Crc32cToText(Crc32c(data));
  HOLDFAST_TRY(const http::Response response,
               service_.Call({.method = "PUT",
                              .url = service_.ObjectUrl(name_),
                              .headers = {"Content-Type: application/octet-stream", kIfFree,
                                          Header(kMarkHeader, mark_), Header(kCrcHeader, crc),
                                          Header(kChecksumHeader, crc)},
                              .body = data,
                              .bulk = true},
                             what_));
  if (response.status == 412) return CheckOurs(response);
  if (response.status != 200) return std::unexpected(service_.ToError(response, what_));
  finished_ = true;
  return {};
}

Status Upload::Start() {
  HOLDFAST_TRY(
      const http::Response response,
      service_.Call(
          {.method = "POST",
           .url = service_.ObjectUrl(name_) + "?uploads=",
           .headers = {"Content-Type: application/octet-stream", "x-amz-checksum-algorithm: CRC32C",
                       Header(kMarkHeader, mark_),
                       Header(kPartBytesHeader, std::to_string(service_.settings().part_bytes))},
           .body = std::span<const std::byte>()},
          what_));
  if (response.status != 200) return std::unexpected(service_.ToError(response, what_));
  upload_id_ = TextOf(response.body, "UploadId");
  if (upload_id_.empty())
    return Fail(Code::kInternal, what_ + ": the multipart upload that was started has no id");
  return {};
}

Status Upload::SendInFlight() {
  HOLDFAST_CHECK(WaitForPart());
  if (upload_id_.empty()) HOLDFAST_CHECK(Start());
  in_flight_ =
      std::async(std::launch::async, [this, data = std::move(buffer_), number = parts_.size() + 1] {
        return SendPart(data, number);
      });
  buffer_ = Buffer();
  return {};
}

Status Upload::WaitForPart() {
  if (!in_flight_.valid()) return {};
  HOLDFAST_TRY(Part part, in_flight_.get());
  parts_.push_back(std::move(part));
  return {};
}

Result<Upload::Part> Upload::SendPart(const Buffer& data, size_t number) {
  const std::string crc = Crc32cToText(Crc32c(data));
  HOLDFAST_TRY(
      const http::Response response,
      service_.Call({.method = "PUT",
                     .url = fmt::format("{}?partNumber={}&uploadId={}", service_.ObjectUrl(name_),
                                        number, http::Escape(upload_id_)),
                     .headers = {Header(kChecksumHeader, crc)},
                     .body = std::span<const std::byte>(data),
                     .bulk = true},
                    what_));
  if (response.status == 404)
    return Fail(Code::kUnavailable,
                what_ +
                    ": the server no longer knows the upload; the object has to be written "
                    "again");
  if (response.status != 200) return std::unexpected(service_.ToError(response, what_));
  const std::string_view etag = response.Header("etag");
  if (etag.empty()) return Fail(Code::kInternal, what_ + ": the answer to a part has no ETag");
  // A server that does not answer with the part's checksum does not keep any, and is not told it
  // again when the upload is completed.
  return Part{.etag = std::string(etag), .checksum = std::string(response.Header(kChecksumHeader))};
}

Status Upload::Complete() {
  // A server that does not know the condition of the request below would replace the object.
  HOLDFAST_TRY(const http::Response there,
               service_.Call({.method = "HEAD", .url = service_.ObjectUrl(name_)}, what_));
  if (there.status == 200) return CheckOurs({.status = 412});
  std::string body = "<CompleteMultipartUpload>";
  for (size_t i = 0; i < parts_.size(); ++i) {
    const std::string& crc = parts_[i].checksum;
    body += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag>{}</Part>", i + 1,
                        parts_[i].etag,
                        crc.empty() ? "" : "<ChecksumCRC32C>" + crc + "</ChecksumCRC32C>");
  }
  body += "</CompleteMultipartUpload>";
  HOLDFAST_TRY(
      const http::Response response,
      service_.Call({.method = "POST",
                     .url = service_.ObjectUrl(name_) + "?uploadId=" + http::Escape(upload_id_),
                     .headers = {"Content-Type: application/xml", kIfFree},
                     .body = AsBytes(body)},
                    what_));
  // 404: an attempt before succeeded, and its answer was lost; or somebody ended the upload.
  if (response.status == 412 || response.status == 404) return CheckOurs(response);
  // An error may come with status 200, when the server had begun to answer before it knew.
  if (response.status != 200 || !ErrorCodeOf(response).empty())
    return std::unexpected(service_.ToError(response, what_));
  finished_ = true;
  return {};
}

Status Upload::CheckOurs(const http::Response& refusal) {
  HOLDFAST_TRY(const http::Response there,
               service_.Call({.method = "HEAD", .url = service_.ObjectUrl(name_)}, what_));
  if (there.status == 200 && there.Header(kMarkHeader) == mark_) {
    finished_ = true;
    return {};
  }
  if (refusal.status == 404 && there.status == 404)
    return Fail(Code::kUnavailable,
                what_ +
                    ": the server no longer knows the upload; the object has to be written "
                    "again");
  return std::unexpected(
      service_.ToError(there.status == 200 ? http::Response{.status = 412} : refusal, what_));
}

}  // namespace holdfast::storage::s3
