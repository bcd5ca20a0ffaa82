#include "tests/fakes/gcs_server.h"

#include <algorithm>
#include <charconv>

namespace holdfast::fakes {
namespace {

using nlohmann::json;

// The part of `text` up to the next '/', taken off it.
std::string TakePiece(std::string& text) {
  const size_t slash = std::min(text.find('/'), text.size());
  std::string piece = Unescape(text.substr(0, slash), false);
  text.erase(0, std::min(slash + 1, text.size()));
  return piece;
}

bool TakePrefix(std::string& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.erase(0, prefix.size());
  return true;
}

// "bytes=0-99", "bytes=100-", "bytes=-5" of `size` bytes: first and end. Nothing if not
// satisfiable.
std::optional<std::pair<uint64_t, uint64_t>> ParseRange(std::string_view text, uint64_t size) {
  if (!text.starts_with("bytes=")) return std::nullopt;
  text.remove_prefix(6);
  const size_t dash = text.find('-');
  if (dash == text.npos) return std::nullopt;
  uint64_t first = 0, last = size - 1;
  const char* end = text.data() + text.size();
  if (dash == 0) {
    uint64_t length = 0;
    std::from_chars(text.data() + 1, end, length);
    first = size - std::min(size, length);
  } else {
    std::from_chars(text.data(), text.data() + dash, first);
    std::from_chars(text.data() + dash + 1, end, last);
  }
  if (first >= size || last < first) return std::nullopt;
  return std::pair(first, std::min(last + 1, size));
}

}  // namespace

GcsServer::GcsServer(Options options)
    : page_objects_(options.page_objects),
      tokens_(std::move(options.tokens)),
      server_([this](Exchange& exchange) { Handle(exchange); }, options.port, options.address) {
  const std::lock_guard lock(mutex_);
  for (const std::string& bucket : options.buckets) buckets_[bucket];
}

GcsServer::~GcsServer() = default;

void GcsServer::SetFaults(const Faults& faults) {
  const std::lock_guard lock(mutex_);
  faults_ = faults;
  since_drop_ = 0;
  link_.Set(faults.link_bytes_per_second);
  if (std::exchange(faults_.expire_sessions, false))
    for (auto& [id, session] : sessions_) {
      session.expired = true;
      ++session.writer;
    }
}

void GcsServer::SetTokens(std::set<std::string> tokens) {
  const std::lock_guard lock(mutex_);
  tokens_ = std::move(tokens);
}

GcsServer::Stats GcsServer::stats() {
  const std::lock_guard lock(mutex_);
  Stats stats = stats_;
  stats.open_sessions =
      static_cast<uint64_t>(std::ranges::count_if(sessions_, [](const auto& entry) {
        return !entry.second.finished && !entry.second.expired;
      }));
  stats.connections = server_.connections();
  return stats;
}

std::optional<std::string> GcsServer::Contents(const std::string& bucket, const std::string& name) {
  const std::lock_guard lock(mutex_);
  const Object* object = buckets_[bucket].Find(name);
  if (object == nullptr) return std::nullopt;
  return *object->data;
}

std::vector<std::string> GcsServer::log() {
  const std::lock_guard lock(mutex_);
  return log_;
}

void GcsServer::AnswerJson(Exchange& exchange, const json& value) {
  exchange.Respond(200, {{"Content-Type", "application/json; charset=UTF-8"}}, value.dump());
}

void GcsServer::AnswerError(Exchange& exchange, int status, const std::string& message) {
  const json body = {{"error",
                      {{"code", status},
                       {"message", message},
                       {"errors", {{{"message", message}, {"domain", "global"}}}}}}};
  exchange.Respond(status, {{"Content-Type", "application/json; charset=UTF-8"}}, body.dump());
}

bool GcsServer::MayGoOn(Exchange& exchange) {
  std::string line = exchange.method + " " + exchange.path;
  for (const auto& [name, value] : exchange.query)
    line += (line.contains('?') ? "&" : "?") + name + "=" + value;
  int status = 0;
  std::string retry_after;
  std::chrono::milliseconds latency;
  {
    const std::lock_guard lock(mutex_);
    ++stats_.requests;
    log_.push_back(line);
    latency = std::chrono::milliseconds(faults_.latency_ms);
    // An upload session's URL is the authorization for it.
    const std::string token = exchange.Header("authorization");
    if (!tokens_.empty() && exchange.Query("upload_id").empty() &&
        (!token.starts_with("Bearer ") || !tokens_.contains(token.substr(7))))
      status = 401;
    for (Failure& failure : faults_.failures)
      if (failure.count > 0 && line.contains(failure.match)) {
        --failure.count;
        status = failure.status;
        retry_after = failure.retry_after;
        break;
      }
  }
  std::this_thread::sleep_for(latency);
  if (status == 0) return true;
  exchange.ReadWholeBody();
  if (!retry_after.empty())
    exchange.Respond(status, {{"Retry-After", retry_after}}, "");
  else
    AnswerError(exchange, status, status == 401 ? "Invalid Credentials" : "Asked to fail");
  return false;
}

void GcsServer::Handle(Exchange& exchange) {
  std::string path = exchange.path;
  if (TakePrefix(path, "/holdfast/")) return Admin(exchange);
  RateLimit connection;
  {
    const std::lock_guard lock(mutex_);
    connection.Set(faults_.connection_bytes_per_second);
  }
  exchange.limits = {&connection, &link_};
  if (!MayGoOn(exchange)) return;
  const bool upload = TakePrefix(path, "/upload/storage/v1/b/");
  if (!upload && !TakePrefix(path, "/storage/v1/b/") &&
      !TakePrefix(path, "/download/storage/v1/b/")) {
    exchange.ReadWholeBody();
    return AnswerError(exchange, 404, "Not Found");
  }
  const std::string bucket = TakePiece(path);
  bool known = false;
  {
    const std::lock_guard lock(mutex_);
    known = buckets_.contains(bucket);
  }
  if (!known) {
    exchange.ReadWholeBody();
    return AnswerError(exchange, 404, "The specified bucket does not exist.");
  }
  if (!upload) return Objects(exchange, bucket, path);
  if (!exchange.Query("upload_id").empty()) return PutSession(exchange);
  if (exchange.method == "POST") return StartUpload(exchange, bucket);
  exchange.ReadWholeBody();
  AnswerError(exchange, 405, "Method Not Allowed");
}

void GcsServer::Objects(Exchange& exchange, const std::string& bucket, const std::string& rest) {
  std::string path = rest;
  if (path.empty() && exchange.method == "GET")
    return AnswerJson(exchange, {{"kind", "storage#bucket"}, {"name", bucket}});
  if (TakePiece(path) != "o") return AnswerError(exchange, 404, "Not Found");
  if (path.empty() && exchange.method == "GET") return List(exchange, bucket);
  // A name's slashes are escaped in the path.
  const std::string name = TakePiece(path);
  if (path == "compose" && exchange.method == "POST") return Compose(exchange, bucket, name);
  if (!path.empty()) return AnswerError(exchange, 404, "Not Found");
  if (exchange.method == "GET") return Get(exchange, bucket, name);
  if (exchange.method != "DELETE") return AnswerError(exchange, 405, "Method Not Allowed");
  const auto conditions = Preconditions::Parse(exchange);
  if (!conditions)
    return AnswerError(exchange, conditions.error().status, conditions.error().message);
  std::unique_lock lock(mutex_);
  const auto removed = buckets_[bucket].Remove(name, exchange.Query("generation"), *conditions);
  lock.unlock();
  if (!removed) return AnswerError(exchange, removed.error().status, removed.error().message);
  exchange.Respond(204, {}, "");
}

void GcsServer::List(Exchange& exchange, const std::string& bucket) {
  const std::string prefix = exchange.Query("prefix"), delimiter = exchange.Query("delimiter");
  const std::string after = exchange.Query("pageToken");
  size_t limit = page_objects_;
  if (const std::string text = exchange.Query("maxResults"); !text.empty())
    limit = std::min<size_t>(limit, std::max(1, std::atoi(text.c_str())));
  json items = json::array();
  std::set<std::string> prefixes;
  std::string next;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, object] : buckets_[bucket].objects()) {
      if (!name.starts_with(prefix) || (!after.empty() && name <= after)) continue;
      const size_t cut = delimiter.empty() ? name.npos : name.find(delimiter, prefix.size());
      const std::string folded = cut == name.npos ? "" : name.substr(0, cut + delimiter.size());
      if (!folded.empty() && (prefixes.contains(folded) || after.starts_with(folded))) {
        if (!next.empty()) next = name;
        continue;
      }
      if (items.size() + prefixes.size() == limit) break;
      if (folded.empty())
        items.push_back(ToJson(bucket, object));
      else
        prefixes.insert(folded);
      next = name;
    }
    // A token only if something follows.
    const auto& objects = buckets_[bucket].objects();
    if (!next.empty() && std::none_of(objects.upper_bound(next), objects.end(),
                                      [&](const auto& o) { return o.first.starts_with(prefix); }))
      next.clear();
  }
  json answer = {{"kind", "storage#objects"}};
  if (!items.empty()) answer["items"] = std::move(items);
  if (!prefixes.empty()) answer["prefixes"] = prefixes;
  if (!next.empty()) answer["nextPageToken"] = next;
  AnswerJson(exchange, Select(answer, exchange.Query("fields")));
}

void GcsServer::Get(Exchange& exchange, const std::string& bucket, const std::string& name) {
  const auto conditions = Preconditions::Parse(exchange);
  if (!conditions)
    return AnswerError(exchange, conditions.error().status, conditions.error().message);
  std::unique_lock lock(mutex_);
  const Object* found = buckets_[bucket].Find(name, exchange.Query("generation"));
  if (found == nullptr) {
    lock.unlock();
    return AnswerError(exchange, 404, "No such object: " + bucket + "/" + name);
  }
  if (conditions->not_generation == found->generation)
    return lock.unlock(), exchange.Respond(304, {}, "");
  if (const auto met = conditions->Check(found); !met) {
    lock.unlock();
    return AnswerError(exchange, met.error().status, met.error().message);
  }
  const Object object = *found;
  lock.unlock();
  if (exchange.Query("alt") == "media") return SendMedia(exchange, object);
  AnswerJson(exchange, Select(ToJson(bucket, object), exchange.Query("fields")));
}

void GcsServer::SendMedia(Exchange& exchange, const Object& object) {
  const uint64_t size = object.data->size();
  const std::string wanted = exchange.Header("range");
  const auto range =
      wanted.empty() ? std::pair<uint64_t, uint64_t>(0, size) : ParseRange(wanted, size);
  if (!range) return AnswerError(exchange, 416, "Requested range not satisfiable");
  const auto [first, end] = *range;
  Headers headers{{"Content-Type", "application/octet-stream"},
                  {"Accept-Ranges", "bytes"},
                  {"X-Goog-Generation", std::to_string(object.generation)},
                  {"X-Goog-Hash",
                   "crc32c=" + object.crc32c + (object.md5.empty() ? "" : ",md5=" + object.md5)}};
  if (!wanted.empty())
    headers["Content-Range"] = "bytes " + std::to_string(first) + "-" + std::to_string(end - 1) +
                               "/" + std::to_string(size);
  std::string body = object.data->substr(first, end - first);
  bool cut = false;
  {
    const std::lock_guard lock(mutex_);
    if (faults_.damage_downloads > 0 && !body.empty()) {
      --faults_.damage_downloads;
      body[body.size() / 2] ^= 1;
    }
    cut = faults_.cut_downloads > 0 && body.size() > faults_.cut_download_at;
    if (cut) --faults_.cut_downloads;
    stats_.drops += cut;
    stats_.download_bytes += cut ? faults_.cut_download_at : body.size();
  }
  exchange.SendHead(wanted.empty() ? 200 : 206, headers, body.size());
  if (!cut) return exchange.SendBody(body);
  exchange.SendBody(std::span<const char>(body).first(faults_.cut_download_at));
  exchange.Close();
}

void GcsServer::Compose(Exchange& exchange, const std::string& bucket, const std::string& name) {
  const json request = json::parse(exchange.ReadWholeBody(), nullptr, false);
  const auto conditions = Preconditions::Parse(exchange);
  if (!conditions)
    return AnswerError(exchange, conditions.error().status, conditions.error().message);
  const json sources = request.is_object() ? request.value("sourceObjects", json()) : json();
  if (!sources.is_array() || sources.empty() || sources.size() > 32)
    return AnswerError(exchange, 400, "The number of source components must be between 1 and 32.");
  std::unique_lock lock(mutex_);
  std::string data;
  int components = 0;
  for (const json& source : sources) {
    const Object* object =
        buckets_[bucket].Find(source.value("name", ""), source.value("generation", ""));
    if (object == nullptr) {
      lock.unlock();
      return AnswerError(exchange, 404, "No such object: " + source.value("name", ""));
    }
    data += *object->data;
    components += std::max(1, object->components);
  }
  const auto stored =
      buckets_[bucket].Insert(name, std::move(data), request.value("destination", json::object()),
                              *conditions, "", components);
  const json resource = stored ? ToJson(bucket, **stored) : json();
  stats_.objects_created += stored.has_value();
  lock.unlock();
  if (!stored) return AnswerError(exchange, stored.error().status, stored.error().message);
  AnswerCreated(exchange, resource);
}

void GcsServer::Admin(Exchange& exchange) {
  const std::string body = exchange.ReadWholeBody();
  if (exchange.path == "/holdfast/stats") return AnswerJson(exchange, ToJson(stats()));
  if (exchange.path != "/holdfast/faults" || exchange.method != "PUT")
    return AnswerError(exchange, 404, "PUT /holdfast/faults or GET /holdfast/stats");
  const auto faults = FaultsFromJson(json::parse(body, nullptr, false));
  if (!faults) return AnswerError(exchange, faults.error().status, faults.error().message);
  SetFaults(*faults);
  AnswerJson(exchange, json::object());
}

ApiResult<GcsServer::Faults> FaultsFromJson(const json& value) {
  if (!value.is_object()) return ApiFail(400, "a JSON object of faults is expected");
  GcsServer::Faults f;
  try {
    for (const auto& [key, field] : value.items()) {
      const auto take = [&](std::string_view name, auto& member) {
        if (key == name) field.get_to(member);
        return key == name;
      };
      bool known =
          take("drop_upload_every", f.drop_upload_every) ||
          take("cut_download_at", f.cut_download_at) || take("cut_downloads", f.cut_downloads) ||
          take("damage_uploads", f.damage_uploads) ||
          take("damage_downloads", f.damage_downloads) || take("lose_answers", f.lose_answers) ||
          take("stall_uploads", f.stall_uploads) || take("lag_bytes", f.lag_bytes) ||
          take("expire_sessions", f.expire_sessions) || take("latency_ms", f.latency_ms) ||
          take("connection_bytes_per_second", f.connection_bytes_per_second) ||
          take("link_bytes_per_second", f.link_bytes_per_second);
      if (key == "failures") {
        known = true;
        for (const json& failure : field)
          f.failures.push_back({.match = failure.value("match", ""),
                                .status = failure.value("status", 503),
                                .count = failure.value("count", 1),
                                .retry_after = failure.value("retry_after", "")});
      }
      if (!known) return ApiFail(400, "unknown fault " + key);
    }
  } catch (const json::exception& error) {
    return ApiFail(400, error.what());
  }
  return f;
}

json ToJson(const GcsServer::Stats& stats) {
  return {{"requests", stats.requests},
          {"upload_bytes", stats.upload_bytes},
          {"download_bytes", stats.download_bytes},
          {"drops", stats.drops},
          {"sessions", stats.sessions},
          {"open_sessions", stats.open_sessions},
          {"objects_created", stats.objects_created},
          {"connections", stats.connections}};
}

}  // namespace holdfast::fakes
