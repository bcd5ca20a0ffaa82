#include "storage/gcs/upload.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/files.h"
#include "storage/gcs/json_text.h"
#include "storage/remote/crc32c.h"
#include "storage/remote/retry.h"

namespace holdfast::storage::gcs {
namespace {

using remote::Backoff;
using remote::Crc32cToText;
using remote::ExtendCrc32c;

using nlohmann::json;

constexpr const char* kMark = "holdfast-writer";

std::string RandomMark() {
  uint64_t words[2] = {};
  // Fails only for sizes above 256 bytes or before the kernel's generator is seeded, when it blocks
  // instead (getrandom(2)).
  if (::getrandom(words, sizeof words, 0) != sizeof words) std::abort();
  return fmt::format("{:016x}{:016x}", words[0], words[1]);
}

// "bytes=0-1048575" -> 1048576; nothing committed yet: no such header.
uint64_t CommittedOf(const http::Response& response) {
  const std::string_view range = response.Header("range");
  const size_t dash = range.rfind('-');
  if (dash == range.npos) return 0;
  uint64_t last = 0;
  std::from_chars(range.data() + dash + 1, range.data() + range.size(), last);
  return last + 1;
}

}  // namespace

Upload::Upload(Service& service, std::string name, std::string what)
    : service_(service), name_(std::move(name)), what_(std::move(what)), mark_(RandomMark()) {}

Upload::~Upload() {
  if (in_flight_.valid()) in_flight_.wait();
  if (session_url_.empty() || finished_) return;
  // Frees what the server keeps now instead of in a week. If it fails, that is all that is lost.
  service_.SendPlain({.method = "DELETE",
                      .url = session_url_,
                      .deadline = http::Clock::now() + std::chrono::seconds(5)});
}

Status Upload::Append(std::span<const std::byte> data) {
  const size_t chunk_bytes = service_.settings().chunk_bytes;
  crc_ = ExtendCrc32c(crc_, data);
  while (!data.empty()) {
    // A full chunk is sent only when more follows, so that the last one is never empty.
    if (buffer_.size() == chunk_bytes) {
      HOLDFAST_CHECK(WaitForChunk());
      if (session_url_.empty()) HOLDFAST_CHECK(StartSession());
      in_flight_ = std::async(std::launch::async,
                              [this, chunk = std::move(buffer_), start = size_ - chunk_bytes] {
                                return SendChunk(chunk, start, /*last=*/false);
                              });
      buffer_ = Buffer();
    }
    if (buffer_.empty()) buffer_.reserve(chunk_bytes);
    const auto piece = data.first(std::min(data.size(), chunk_bytes - buffer_.size()));
    buffer_.insert(buffer_.end(), piece.begin(), piece.end());
    size_ += piece.size();
    data = data.subspan(piece.size());
  }
  return {};
}

Status Upload::Finish() {
  HOLDFAST_CHECK(WaitForChunk());
  if (session_url_.empty()) return SendWhole();
  return SendChunk(buffer_, size_ - buffer_.size(), /*last=*/true);
}

Status Upload::WaitForChunk() { return in_flight_.valid() ? in_flight_.get() : Status(); }

Status Upload::SendWhole() {
  const std::string boundary = "holdfast-" + RandomMark();
  const json metadata = {
      {"name", name_}, {"crc32c", Crc32cToText(crc_)}, {"metadata", {{kMark, mark_}}}};
  const std::string head = fmt::format(
      "--{0}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{1}\r\n--{0}\r\n"
      "Content-Type: application/octet-stream\r\n\r\n",
      boundary, metadata.dump());
  const std::string tail = fmt::format("\r\n--{}--\r\n", boundary);
  Buffer body;
  body.reserve(head.size() + buffer_.size() + tail.size());
  for (const auto part : {AsBytes(head), std::span<const std::byte>(buffer_), AsBytes(tail)})
    body.insert(body.end(), part.begin(), part.end());

  HOLDFAST_TRY(
      const http::Response response,
      service_.Call({.method = "POST",
                     .url = service_.UploadUrl() +
                            "?uploadType=multipart&ifGenerationMatch=0&name=" + http::Escape(name_),
                     .headers = {"Content-Type: multipart/related; boundary=" + boundary},
                     .body = body,
                     .bulk = true},
                    what_));
  if (response.status == 412) return CheckOurs(response);
  return CheckStored(response);
}

Status Upload::StartSession() {
  const std::string metadata = json{{"name", name_}, {"metadata", {{kMark, mark_}}}}.dump();
  HOLDFAST_TRY(
      const http::Response response,
      service_.Call({.method = "POST",
                     .url = service_.UploadUrl() +
                            "?uploadType=resumable&ifGenerationMatch=0&name=" + http::Escape(name_),
                     .headers = {"Content-Type: application/json; charset=UTF-8",
                                 "X-Upload-Content-Type: application/octet-stream"},
                     .body = AsBytes(metadata)},
                    what_));
  if (response.status == 412) return CheckOurs(response);
  if (response.status != 200 && response.status != 201)
    return std::unexpected(service_.ToError(response, what_));
  const std::string_view url = response.Header("location");
  const bool https = service_.settings().endpoint.starts_with("https://");
  if (!url.starts_with("https://") && (https || !url.starts_with("http://")))
    return Fail(Code::kInternal, what_ + ": the upload session that was opened has no usable URL");
  session_url_ = url;
  return {};
}

Result<http::Response> Upload::PutToSession(std::span<const std::byte> data,
                                            const std::string& range, bool last) {
  http::Request request{.method = "PUT",
                        .url = session_url_,
                        .headers = {"Content-Range: bytes " + range},
                        .body = data,
                        .bulk = true};
  if (last) request.headers.push_back("X-Goog-Hash: crc32c=" + Crc32cToText(crc_));
  return service_.SendPlain(std::move(request)).response;
}

Status Upload::SendChunk(const Buffer& chunk, uint64_t start, bool last) {
  const uint64_t end = start + chunk.size();
  const std::string total = last ? std::to_string(end) : "*";
  uint64_t committed = start;
  bool in_doubt = false;  // what the server has must be asked before anything more is sent
  std::optional<Backoff> backoff(service_.Deadline());
  while (!finished_ && (committed < end || last)) {
    const auto rest = std::span(chunk).subspan(committed - start);
    const std::string range = in_doubt       ? "*/*"
                              : rest.empty() ? "*/" + total
                                             : fmt::format("{}-{}/{}", committed, end - 1, total);
    auto response = PutToSession(in_doubt ? rest.first(0) : rest, range, last && !in_doubt);
    const bool asked = std::exchange(in_doubt, service_.IsTransient(response));
    if (!in_doubt) {
      if (!response) return std::unexpected(std::move(response).error().Wrap(what_));
      HOLDFAST_TRY(const uint64_t now, TakeAnswer(*response, start));
      if (now < start || now > end)
        return Fail(Code::kUnavailable,
                    fmt::format("{}: Cloud Storage has {} bytes, but {} to {} were to follow; the "
                                "object has to be written again",
                                what_, now, start, end));
      const bool progress = now > committed;
      committed = now;
      if (progress) backoff.emplace(service_.Deadline());
      if (progress || asked) continue;
    }
    const auto pause = backoff->Next(response);
    if (!pause) return std::unexpected(service_.GivenUp(response, what_));
    std::this_thread::sleep_for(*pause);
  }
  return {};
}

Result<uint64_t> Upload::TakeAnswer(const http::Response& response, uint64_t start) {
  switch (response.status) {
    case 308:
      return CommittedOf(response);
    case 200:
    case 201:
      finished_ = true;
      HOLDFAST_CHECK(CheckStored(response));
      return size_;
    case 412:
      HOLDFAST_CHECK(CheckOurs(response));
      return size_;
    case 404:
    case 410:
      break;
    default:
      return std::unexpected(service_.ToError(response, what_));
  }
  // The session is gone: because it finished, long ago, or because it expired. If nothing of it is
  // needed that we no longer have, a new one takes its place.
  if (CheckOurs(response)) return size_;
  if (start > 0)
    return Fail(
        Code::kUnavailable,
        fmt::format("{}: Cloud Storage no longer knows the upload session (HTTP status {}); "
                    "the object has to be written again",
                    what_, response.status));
  HOLDFAST_CHECK(StartSession());
  return 0;
}

Status Upload::CheckStored(const http::Response& response) {
  if (response.status != 200 && response.status != 201)
    return std::unexpected(service_.ToError(response, what_));
  const json object = json::parse(response.body, nullptr, false);
  const std::string crc = TextOf(object, "crc32c");
  if (crc == Crc32cToText(crc_)) return {};
  if (crc.empty()) return Fail(Code::kInternal, what_ + ": the answer holds no checksum");
  // What is there is not what we sent, and must not stay under this name.
  const std::string url = fmt::format("{}?ifGenerationMatch={}", service_.ObjectUrl(name_),
                                      http::Escape(TextOf(object, "generation")));
  const auto removed = service_.Call({.method = "DELETE", .url = url}, what_);
  return Fail(
      Code::kCorrupt,
      fmt::format("{}: what Cloud Storage stored has CRC32C {}, not {}: the data was damaged "
                  "on its way; {}",
                  what_, crc, Crc32cToText(crc_),
                  removed ? "the object was removed" : "remove the object"));
}

Status Upload::CheckOurs(const http::Response& refusal) {
  HOLDFAST_TRY(const http::Response response,
               service_.Call({.url = service_.ObjectUrl(name_)}, what_));
  const json object = json::parse(response.body, nullptr, false);
  const auto at = json::json_pointer(std::string("/metadata/") + kMark);
  const bool ours =
      response.status == 200 && object.is_object() && object.contains(at) && object[at] == mark_;
  if (!ours) return std::unexpected(service_.ToError(refusal, what_));
  finished_ = true;
  return CheckStored(response);
}

}  // namespace holdfast::storage::gcs
