// Uploads: https://cloud.google.com/storage/docs/resumable-uploads and
// https://cloud.google.com/storage/docs/uploading-objects.
#include <algorithm>
#include <charconv>
#include <random>

#include "tests/fakes/gcs_server.h"

namespace holdfast::fakes {
namespace {

using nlohmann::json;

constexpr uint64_t kGranularity = 256 * 1024;

// A Content-Range of a resumable upload: "bytes 0-99/200", "bytes 0-99/*", "bytes */200",
// "bytes */*".
struct ContentRange {
  std::optional<std::pair<uint64_t, uint64_t>> bytes;  // first and last
  std::optional<uint64_t> total;
};

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<ContentRange> ParseContentRange(std::string_view text) {
  ContentRange range;
  if (!text.starts_with("bytes ")) return std::nullopt;
  text.remove_prefix(6);
  const size_t slash = text.find('/');
  if (slash == text.npos) return std::nullopt;
  const std::string_view bytes = text.substr(0, slash), total = text.substr(slash + 1);
  if (total != "*" && !(range.total = Number(total))) return std::nullopt;
  if (bytes == "*") return range;
  const size_t dash = bytes.find('-');
  if (dash == bytes.npos) return std::nullopt;
  const auto first = Number(bytes.substr(0, dash)), last = Number(bytes.substr(dash + 1));
  if (!first || !last || *last < *first || (range.total && *last >= *range.total))
    return std::nullopt;
  range.bytes = {*first, *last};
  return range;
}

// The two parts of a multipart/related body: metadata and contents.
std::optional<std::pair<std::string, std::string>> SplitParts(const std::string& body,
                                                              std::string boundary) {
  if (boundary.starts_with('"') && boundary.size() > 2)
    boundary = boundary.substr(1, boundary.size() - 2);
  const std::string delimiter = "--" + boundary;
  std::vector<std::string> parts;
  size_t at = body.find(delimiter);
  while (at != body.npos) {
    at += delimiter.size();
    if (body.compare(at, 2, "--") == 0) break;
    const size_t head_end = body.find("\r\n\r\n", at);
    const size_t next = body.find("\r\n" + delimiter, head_end);
    if (head_end == body.npos || next == body.npos) return std::nullopt;
    parts.push_back(body.substr(head_end + 4, next - head_end - 4));
    at = next + 2;
  }
  if (parts.size() != 2) return std::nullopt;
  return std::pair(parts[0], parts[1]);
}

}  // namespace

bool GcsServer::ReadUpload(Exchange& exchange, const std::function<bool(std::string_view)>& take) {
  std::vector<char> buffer(256 * 1024);
  while (true) {
    size_t wanted = buffer.size();
    bool stall = false;
    {
      const std::lock_guard lock(mutex_);
      stall = faults_.stall_uploads > 0;
      if (stall) --faults_.stall_uploads;
      if (faults_.drop_upload_every > 0)
        wanted = std::min<uint64_t>(wanted, faults_.drop_upload_every - since_drop_);
    }
    if (stall) exchange.Stall();
    if (exchange.broken()) return false;
    const size_t count = exchange.ReadBody({buffer.data(), wanted});
    if (count == 0) return !exchange.broken();
    const bool wants_more = take({buffer.data(), count});
    const std::lock_guard lock(mutex_);
    stats_.upload_bytes += count;
    since_drop_ += count;
    if (faults_.drop_upload_every > 0 && since_drop_ >= faults_.drop_upload_every) {
      since_drop_ = 0;
      ++stats_.drops;
      exchange.Drop();
    }
    if (exchange.broken() || !wants_more) return false;
  }
}

void GcsServer::StartUpload(Exchange& exchange, const std::string& bucket) {
  const std::string type = exchange.Query("uploadType");
  if (type == "resumable") return StartSession(exchange, bucket);
  std::string body;
  const auto take = [&](std::string_view piece) {
    body += piece;
    return true;
  };
  if (!ReadUpload(exchange, take)) return;
  if (type == "media") {
    const std::string content_type = exchange.Header("content-type");
    return InsertWhole(exchange, bucket, {{"contentType", content_type}}, std::move(body));
  }
  if (type != "multipart") return AnswerError(exchange, 400, "Invalid uploadType");
  const std::string content_type = exchange.Header("content-type");
  const size_t boundary = content_type.find("boundary=");
  const auto parts = boundary == content_type.npos
                         ? std::nullopt
                         : SplitParts(body, content_type.substr(boundary + 9));
  json fields = parts ? json::parse(parts->first, nullptr, false) : json();
  if (!fields.is_object()) return AnswerError(exchange, 400, "Bad multipart body");
  InsertWhole(exchange, bucket, std::move(fields), parts->second);
}

void GcsServer::InsertWhole(Exchange& exchange, const std::string& bucket, json fields,
                            std::string data) {
  const auto conditions = Preconditions::Parse(exchange);
  if (!conditions)
    return AnswerError(exchange, conditions.error().status, conditions.error().message);
  const std::string query_name = exchange.Query("name");
  const std::string name = query_name.empty() ? fields.value("name", "") : query_name;
  std::unique_lock lock(mutex_);
  if (faults_.damage_uploads > 0 && !data.empty()) {
    --faults_.damage_uploads;
    data[data.size() / 2] ^= 1;
  }
  const auto stored = buckets_[bucket].Insert(name, std::move(data), std::move(fields), *conditions,
                                              exchange.Header("x-goog-hash"));
  if (!stored) {
    lock.unlock();
    return AnswerError(exchange, stored.error().status, stored.error().message);
  }
  const json resource = ToJson(bucket, **stored);
  ++stats_.objects_created;
  lock.unlock();
  AnswerCreated(exchange, resource);
}

void GcsServer::StartSession(Exchange& exchange, const std::string& bucket) {
  const std::string body = exchange.ReadWholeBody();
  const auto conditions = Preconditions::Parse(exchange);
  if (!conditions)
    return AnswerError(exchange, conditions.error().status, conditions.error().message);
  Session session{.bucket = bucket, .conditions = *conditions};
  session.fields = body.empty() ? json::object() : json::parse(body, nullptr, false);
  if (!session.fields.is_object()) return AnswerError(exchange, 400, "Parse Error");
  const std::string query_name = exchange.Query("name");
  session.name = query_name.empty() ? session.fields.value("name", "") : query_name;
  if (const std::string type = exchange.Header("x-upload-content-type"); !type.empty())
    session.fields["contentType"] = type;
  if (session.name.empty()) return AnswerError(exchange, 400, "Required: name");

  const std::string id =
      std::to_string(std::random_device{}()) + std::to_string(std::random_device{}());
  {
    const std::lock_guard lock(mutex_);
    if (const auto met = conditions->Check(buckets_[bucket].Find(session.name)); !met)
      return AnswerError(exchange, met.error().status, met.error().message);
    sessions_[id] = std::move(session);
    ++stats_.sessions;
  }
  // The host that the client used is the one that it can reach.
  exchange.Respond(200,
                   {{"Location", "http://" + exchange.Header("host") + "/upload/storage/v1/b/" +
                                     bucket + "/o?uploadType=resumable&upload_id=" + id},
                    {"X-GUploader-UploadID", id}},
                   "");
}

uint64_t GcsServer::Settle(Session& session) {
  uint64_t keep = session.data.size();
  if (session.interrupted) keep -= std::min<uint64_t>(keep - session.told, faults_.lag_bytes);
  session.interrupted = false;
  session.data.resize(keep / kGranularity * kGranularity);
  return session.writer = ++last_writer_;
}

void GcsServer::PutSession(Exchange& exchange) {
  const std::string id = exchange.Query("upload_id");
  std::unique_lock lock(mutex_);
  const auto found = sessions_.find(id);
  const bool expired = found != sessions_.end() && found->second.expired;
  if (found == sessions_.end() || expired) {
    lock.unlock();
    exchange.ReadWholeBody();
    return AnswerError(exchange, expired ? 410 : 404, "The upload session is not available.");
  }
  Session& session = found->second;
  if (session.finished) {
    const json resource = *session.finished;
    lock.unlock();
    exchange.ReadWholeBody();
    return AnswerJson(exchange, resource);
  }
  lock.unlock();
  if (exchange.method != "DELETE") return TakeChunk(exchange, session);
  lock.lock();
  session.expired = true;
  session.data.clear();
  lock.unlock();
  exchange.Respond(499, {}, "");
}

void GcsServer::TakeChunk(Exchange& exchange, Session& session) {
  const std::string text = exchange.Header("content-range");
  const std::string length_text = exchange.Header("content-length");
  const auto length = Number(length_text);
  // Without a Content-Range the request holds the whole object.
  const std::string whole = length.value_or(0) == 0
                                ? "bytes */0"
                                : "bytes 0-" + std::to_string(*length - 1) + "/" + length_text;
  const auto range = ParseContentRange(text.empty() ? whole : text);
  if (!range) {
    exchange.ReadWholeBody();
    return AnswerError(exchange, 400, "Failed to parse Content-Range header.");
  }
  uint64_t at = range->bytes ? range->bytes->first : 0;
  const uint64_t announced = range->bytes ? range->bytes->second - at + 1 : 0;
  const bool last = range->bytes && range->total && range->bytes->second + 1 == *range->total;
  std::string problem;
  if (length && *length != announced) problem = "Content-Range does not match the content length.";
  if (range->bytes && !last && announced < kGranularity)
    problem =
        "The number of bytes uploaded is required to be equal or greater than 262144, except "
        "for the final request.";
  uint64_t writer = 0;
  {
    const std::lock_guard lock(mutex_);
    writer = Settle(session);
    if (at > session.data.size())
      problem = "The upload offset is " + std::to_string(at) +
                " byte(s), which exceeds already "
                "uploaded size of " +
                std::to_string(session.data.size()) + " byte(s).";
  }
  if (!problem.empty()) {
    exchange.ReadWholeBody();
    return AnswerError(exchange, 400, problem);
  }
  // Bytes that are committed already may be sent again; they are skipped.
  const bool whole_request = ReadUpload(exchange, [&](std::string_view piece) {
    const std::lock_guard lock(mutex_);
    if (session.writer != writer || session.finished) return false;
    const uint64_t skip = std::min<uint64_t>(session.data.size() - at, piece.size());
    session.data += piece.substr(skip);
    at += piece.size();
    return true;
  });
  std::unique_lock lock(mutex_);
  if (session.writer != writer) return exchange.Drop();
  if (!whole_request) {
    session.interrupted = true;
    return;
  }
  if (range->total && session.data.size() == *range->total)
    return lock.unlock(), FinishSession(exchange, session, exchange.Header("x-goog-hash"));
  if (range->total && session.data.size() > *range->total) {
    lock.unlock();
    return AnswerError(exchange, 400, "More was uploaded than the total size.");
  }
  Settle(session);
  session.told = session.data.size();
  lock.unlock();
  AnswerStatus(exchange, session);
}

void GcsServer::FinishSession(Exchange& exchange, Session& session, const std::string& hash) {
  std::unique_lock lock(mutex_);
  if (faults_.damage_uploads > 0) {
    --faults_.damage_uploads;
    session.data[session.data.size() / 2] ^= 1;
  }
  const auto stored = buckets_[session.bucket].Insert(session.name, std::move(session.data),
                                                      session.fields, session.conditions, hash);
  session.data.clear();
  if (!stored) {
    session.expired = true;
    lock.unlock();
    return AnswerError(exchange, stored.error().status, stored.error().message);
  }
  session.finished = ToJson(session.bucket, **stored);
  ++stats_.objects_created;
  lock.unlock();
  AnswerCreated(exchange, *session.finished);
}

void GcsServer::AnswerStatus(Exchange& exchange, const Session& session) {
  Headers headers;
  if (!session.data.empty())
    headers["Range"] = "bytes=0-" + std::to_string(session.data.size() - 1);
  exchange.Respond(308, headers, "");
}

void GcsServer::AnswerCreated(Exchange& exchange, const json& resource) {
  std::unique_lock lock(mutex_);
  if (faults_.lose_answers > 0) {
    --faults_.lose_answers;
    ++stats_.drops;
    return exchange.Drop();
  }
  lock.unlock();
  AnswerJson(exchange, Select(resource, exchange.Query("fields")));
}

}  // namespace holdfast::fakes
