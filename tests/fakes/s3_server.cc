#include "tests/fakes/s3_server.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "tests/fakes/gcs_objects.h"
#include "tests/fakes/s3_signature.h"

namespace holdfast::fakes {
namespace {

bool TakeOne(int& count) {
  if (count <= 0) return false;
  --count;
  return true;
}

std::string Quoted(const std::string& text) { return "\"" + text + "\""; }

// The bytes that base64 text stands for.
std::string Decode(const std::string& text) {
  std::string bytes(text.size() / 4 * 3, '\0');
  EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                  reinterpret_cast<const unsigned char*>(text.data()),
                  static_cast<int>(text.size()));
  bytes.resize(bytes.size() - static_cast<size_t>(std::ranges::count(text, '=')));
  return bytes;
}

// The texts of all <name> elements.
std::vector<std::string> Elements(const std::string& xml, const std::string& name) {
  std::vector<std::string> all;
  for (size_t at = xml.find("<" + name + ">"); at != xml.npos;
       at = xml.find("<" + name + ">", at)) {
    at += name.size() + 2;
    all.push_back(xml.substr(at, xml.find("</" + name + ">", at) - at));
  }
  return all;
}

}  // namespace

S3Server::S3Server(Options options)
    : options_(std::move(options)),
      session_token_(options_.session_token),
      server_([this](Exchange& exchange) { Handle(exchange); }) {}

S3Server::~S3Server() = default;

void S3Server::SetFaults(Faults faults) {
  const std::lock_guard lock(mutex_);
  faults_ = std::move(faults);
}

void S3Server::SetSessionToken(const std::string& token) {
  const std::lock_guard lock(mutex_);
  session_token_ = token;
}

std::optional<std::string> S3Server::Contents(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(name);
  if (found == objects_.end()) return std::nullopt;
  return found->second.data;
}

size_t S3Server::open_uploads() {
  const std::lock_guard lock(mutex_);
  return uploads_.size();
}

std::vector<std::string> S3Server::log() {
  const std::lock_guard lock(mutex_);
  return log_;
}

void S3Server::AnswerError(Exchange& exchange, int status, const std::string& code) {
  exchange.Respond(status, {{"Content-Type", "application/xml"}},
                   "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>" + code +
                       "</Code><Message>Because of &quot;" + code +
                       "&quot;</Message><RequestId>1</RequestId></Error>");
}

void S3Server::Handle(Exchange& exchange) {
  std::string line = exchange.method + " " + exchange.path;
  for (const auto& [name, value] : exchange.query)
    line += (line.contains('?') ? "&" : "?") + name + "=" + value;
  {
    const std::lock_guard lock(mutex_);
    log_.push_back(line);
    if (exchange.method == "PUT" && TakeOne(faults_.break_requests)) return exchange.Drop();
  }
  std::string body = exchange.ReadWholeBody();
  const std::lock_guard lock(mutex_);
  for (Failure& failure : faults_.failures)
    if (line.contains(failure.match) && TakeOne(failure.count))
      return AnswerError(exchange, failure.status, failure.code);
  if (const std::string wrong = CheckSignature(exchange, body, options_.keys, options_.region);
      !wrong.empty())
    return AnswerError(exchange, wrong == "AuthorizationHeaderMalformed" ? 400 : 403, wrong);
  if (exchange.Header("x-amz-security-token") != session_token_)
    return AnswerError(exchange, 400, "ExpiredToken");
  std::string name = Unescape(exchange.path.substr(1), false);
  const size_t slash = std::min(name.find('/'), name.size());
  if (name.substr(0, slash) != options_.bucket) return AnswerError(exchange, 404, "NoSuchBucket");
  name.erase(0, slash + 1);
  if (!body.empty() && TakeOne(faults_.damage_stored)) body[body.size() / 2] ^= 1;

  const auto upload = uploads_.find(exchange.Query("uploadId"));
  if (exchange.query.contains("uploadId") && upload == uploads_.end())
    return AnswerError(exchange, 404, "NoSuchUpload");
  if (name.empty() && exchange.Query("list-type") == "2") return List(exchange);
  if (exchange.method == "POST" && exchange.query.contains("uploads")) return Start(exchange, name);
  if (exchange.method == "POST" && upload != uploads_.end()) return Complete(exchange, name, body);
  if (exchange.method == "PUT" && upload != uploads_.end())
    return PutPart(exchange, std::move(body));
  if (exchange.method == "PUT") return Put(exchange, name, std::move(body));
  if (exchange.method == "GET" || exchange.method == "HEAD") return Get(exchange, name);
  if (exchange.method != "DELETE") return AnswerError(exchange, 405, "MethodNotAllowed");
  if (upload != uploads_.end())
    uploads_.erase(upload);
  else
    objects_.erase(name);
  exchange.Respond(204, {}, "");
}

void S3Server::List(Exchange& exchange) {
  const std::string prefix = exchange.Query("prefix"), after = exchange.Query("continuation-token");
  const std::string delimiter = exchange.Query("delimiter");
  std::string contents, last;
  size_t count = 0;
  bool more = false;
  for (const auto& [name, object] : objects_) {
    if (!name.starts_with(prefix) || (!after.empty() && name <= after)) continue;
    const size_t cut = delimiter.empty() ? name.npos : name.find(delimiter, prefix.size());
    const std::string folded = cut == name.npos ? "" : name.substr(0, cut + delimiter.size());
    if (!folded.empty() && (folded == last || folded == after)) continue;
    if ((more = count == options_.page_keys)) break;
    contents += folded.empty() ? "<Contents><Key>" + name + "</Key><Size>" +
                                     std::to_string(object.data.size()) + "</Size></Contents>"
                               : "<CommonPrefixes><Prefix>" + folded + "</Prefix></CommonPrefixes>";
    last = folded.empty() ? name : folded;
    ++count;
  }
  exchange.Respond(200, {{"Content-Type", "application/xml"}},
                   "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult "
                   "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>" +
                       options_.bucket + "</Name><KeyCount>" + std::to_string(count) +
                       "</KeyCount>" +
                       (more ? "<NextContinuationToken>" + last + "</NextContinuationToken>" : "") +
                       "<IsTruncated>" + (more ? "true" : "false") + "</IsTruncated>" + contents +
                       "</ListBucketResult>");
}

void S3Server::Get(Exchange& exchange, const std::string& name) {
  const auto found = objects_.find(name);
  if (found == objects_.end()) return AnswerError(exchange, 404, "NoSuchKey");
  const Object& object = found->second;
  const std::string match = exchange.Header("if-match");
  if (!match.empty() && match != Quoted(object.etag))
    return AnswerError(exchange, 412, "PreconditionFailed");
  Headers headers = object.metadata;
  headers["ETag"] = Quoted(object.etag);
  if (exchange.Header("x-amz-checksum-mode") == "ENABLED" && !object.checksum.empty())
    headers["x-amz-checksum-crc32c"] = object.checksum;
  if (exchange.method == "HEAD") return exchange.SendHead(200, headers, object.data.size());
  size_t first = 0, last = 0;
  const std::string range = exchange.Header("range");
  if (std::sscanf(range.c_str(), "bytes=%zu-%zu", &first, &last) != 2 || last < first ||
      first >= object.data.size())
    return AnswerError(exchange, 416, "InvalidRange");
  std::string data = object.data.substr(first, last - first + 1);
  headers["Content-Range"] = "bytes " + std::to_string(first) + "-" +
                             std::to_string(first + data.size() - 1) + "/" +
                             std::to_string(object.data.size());
  if (TakeOne(faults_.damage_downloads)) data[data.size() / 2] ^= 1;
  exchange.SendHead(206, headers, data.size());
  if (!TakeOne(faults_.cut_downloads)) return exchange.SendBody(data);
  exchange.SendBody(std::span<const char>(data).first(data.size() / 2));
  exchange.Close();
}

bool S3Server::ConditionMet(Exchange& exchange, const std::string& name) {
  if (exchange.Header("if-none-match").empty() || options_.conditions == Conditions::kIgnored)
    return true;
  if (options_.conditions == Conditions::kNotImplemented) {
    AnswerError(exchange, 501, "NotImplemented");
    return false;
  }
  if (!objects_.contains(name)) return true;
  AnswerError(exchange, 412, "PreconditionFailed");
  return false;
}

void S3Server::AnswerCreated(Exchange& exchange, const Headers& headers, const std::string& body) {
  if (TakeOne(faults_.lose_answers)) return exchange.Drop();
  exchange.Respond(200, headers, body);
}

void S3Server::Put(Exchange& exchange, const std::string& name, std::string body) {
  if (!ConditionMet(exchange, name)) return;
  Object object{.data = std::move(body)};
  const std::string crc = Crc32cText(object.data), sent = exchange.Header("x-amz-checksum-crc32c");
  if (options_.checksums) {
    if (!sent.empty() && sent != crc) return AnswerError(exchange, 400, "BadDigest");
    object.checksum = crc;
  }
  object.etag = Md5Text(object.data);
  for (const auto& [header, value] : exchange.headers)
    if (header.starts_with("x-amz-meta-")) object.metadata[header] = value;
  Headers headers{{"ETag", Quoted(object.etag)}};
  if (options_.checksums) headers["x-amz-checksum-crc32c"] = crc;
  objects_[name] = std::move(object);
  AnswerCreated(exchange, headers, "");
}

void S3Server::Start(Exchange& exchange, const std::string& name) {
  const std::string id = "upload/" + std::to_string(++last_upload_);
  MultipartUpload& upload = uploads_[id];
  upload.name = name;
  for (const auto& [header, value] : exchange.headers)
    if (header.starts_with("x-amz-meta-")) upload.metadata[header] = value;
  exchange.Respond(200, {},
                   "<InitiateMultipartUploadResult><Bucket>" + options_.bucket +
                       "</Bucket><UploadId>" + id + "</UploadId></InitiateMultipartUploadResult>");
}

void S3Server::PutPart(Exchange& exchange, std::string body) {
  Part part{.data = std::move(body)};
  part.crc = Crc32cText(part.data);
  part.etag = Md5Text(part.data);
  const std::string sent = exchange.Header("x-amz-checksum-crc32c");
  if (options_.checksums && !sent.empty() && sent != part.crc)
    return AnswerError(exchange, 400, "BadDigest");
  Headers headers{{"ETag", Quoted(part.etag)}};
  if (options_.checksums) headers["x-amz-checksum-crc32c"] = part.crc;
  uploads_[exchange.Query("uploadId")].parts[std::atoi(exchange.Query("partNumber").c_str())] =
      std::move(part);
  exchange.Respond(200, headers, "");
}

void S3Server::Complete(Exchange& exchange, const std::string& name, const std::string& body) {
  MultipartUpload& upload = uploads_[exchange.Query("uploadId")];
  if (TakeOne(faults_.late_errors)) return AnswerError(exchange, 200, "InternalError");
  if (!ConditionMet(exchange, name)) return;
  const auto numbers = Elements(body, "PartNumber"), etags = Elements(body, "ETag"),
             crcs = Elements(body, "ChecksumCRC32C");
  Object object{.metadata = upload.metadata};
  std::string crc_bytes;
  for (size_t i = 0; i < numbers.size(); ++i) {
    const auto part = upload.parts.find(std::atoi(numbers[i].c_str()));
    if (upload.name != name || part == upload.parts.end() || i >= etags.size() ||
        etags[i] != Quoted(part->second.etag) ||
        (options_.checksums && (i >= crcs.size() || crcs[i] != part->second.crc)))
      return AnswerError(exchange, 400, "InvalidPart");
    if (i + 1 < numbers.size() && part->second.data.size() < options_.min_part_bytes)
      return AnswerError(exchange, 400, "EntityTooSmall");
    object.data += part->second.data;
    crc_bytes += Decode(part->second.crc);
  }
  const std::string suffix = "-" + std::to_string(numbers.size());
  object.etag = Md5Text(object.data) + suffix;
  if (options_.checksums) object.checksum = Crc32cText(crc_bytes) + suffix;
  objects_[name] = std::move(object);
  uploads_.erase(exchange.Query("uploadId"));
  AnswerCreated(
      exchange, {},
      "<CompleteMultipartUploadResult><Key>" + name + "</Key></CompleteMultipartUploadResult>");
}

}  // namespace holdfast::fakes
