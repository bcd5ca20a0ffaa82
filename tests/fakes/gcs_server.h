// A Cloud Storage server for tests: the JSON API as published (buckets, objects, generations,
// preconditions, uploads in one request or resumable, ranged downloads, lists in pages, compose),
// with faults on demand. In a test's process, or by itself: gcs_main.cc.
//
// Faults and counters can be set and read over HTTP too:
//   PUT  /holdfast/faults   {"drop_upload_every": 52428800, "fail": [...]}   fields of Faults
//   GET  /holdfast/stats    {"upload_bytes": ..., ...}                       fields of Stats
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/fakes/gcs_objects.h"
#include "tests/fakes/http_server.h"

namespace holdfast::fakes {

class GcsServer {
 public:
  struct Options {
    std::vector<std::string> buckets{"bucket"};
    std::set<std::string> tokens;  // accepted; none: no authorization is asked for
    size_t page_objects = 1000;    // longest page of a list
    uint16_t port = 0;
    std::string address = "127.0.0.1";
  };
  // Answers `status` to the next `count` requests whose "METHOD path?query" contains `match`.
  struct Failure {
    std::string match;
    int status = 503;
    int count = 1;
    std::string retry_after;
  };
  struct Faults {
    uint64_t drop_upload_every = 0;  // reset the connection each time so many body bytes came
    uint64_t cut_download_at = 0;    // end each media answer there, for `cut_downloads` answers
    int cut_downloads = 0;
    int damage_uploads = 0;        // flip a bit of what is stored, before its checksum is made
    int damage_downloads = 0;      // flip a bit of what is sent
    int lose_answers = 0;          // objects are created, but the connection is reset instead
    int stall_uploads = 0;         // stop reading, keep the connection
    int64_t lag_bytes = 0;         // after a broken request, so much of what came is not committed
    bool expire_sessions = false;  // at once, all that are open
    int latency_ms = 0;            // before each answer
    uint64_t connection_bytes_per_second = 0;
    uint64_t link_bytes_per_second = 0;  // all connections together
    std::vector<Failure> failures;
  };
  struct Stats {
    uint64_t requests = 0;
    uint64_t upload_bytes = 0;  // of bodies of uploads
    uint64_t download_bytes = 0;
    uint64_t drops = 0;
    uint64_t sessions = 0;       // resumable ones started
    uint64_t open_sessions = 0;  // and not finished
    uint64_t objects_created = 0;
    unsigned connections = 0;
  };

  GcsServer() : GcsServer(Options()) {}
  explicit GcsServer(Options options);
  ~GcsServer();

  std::string url() const { return server_.url(); }
  void SetFaults(const Faults& faults);
  void SetTokens(std::set<std::string> tokens);
  Stats stats();
  // An object's contents, or nothing.
  std::optional<std::string> Contents(const std::string& bucket, const std::string& name);
  // "METHOD path?query" of the requests so far.
  std::vector<std::string> log();

 private:
  struct Session {
    std::string bucket, name;
    nlohmann::json fields;
    Preconditions conditions;
    std::string data;     // what came; committed is less, see Settle
    size_t told = 0;      // so much as committed
    uint64_t writer = 0;  // the request that may append; one that was overtaken may not
    bool interrupted = false;
    bool expired = false;
    std::optional<nlohmann::json> finished;  // the object's resource
  };

  void Handle(Exchange& exchange);
  bool MayGoOn(Exchange& exchange);  // authorization and failures on demand
  void Admin(Exchange& exchange);
  void Objects(Exchange& exchange, const std::string& bucket, const std::string& rest);
  void List(Exchange& exchange, const std::string& bucket);
  void Get(Exchange& exchange, const std::string& bucket, const std::string& name);
  void SendMedia(Exchange& exchange, const Object& object);
  void Compose(Exchange& exchange, const std::string& bucket, const std::string& name);
  // gcs_uploads.cc
  void StartUpload(Exchange& exchange, const std::string& bucket);
  void InsertWhole(Exchange& exchange, const std::string& bucket, nlohmann::json fields,
                   std::string data);
  void StartSession(Exchange& exchange, const std::string& bucket);
  void PutSession(Exchange& exchange);
  void TakeChunk(Exchange& exchange, Session& session);
  void FinishSession(Exchange& exchange, Session& session, const std::string& hash);
  void AnswerStatus(Exchange& exchange, const Session& session);
  void AnswerCreated(Exchange& exchange, const nlohmann::json& resource);
  // Makes the caller the session's only writer, and drops what came but does not count as
  // committed: all beyond a multiple of 256 KiB. The caller holds mutex_.
  uint64_t Settle(Session& session);
  // Reads a body, giving its bytes to `take` until that says no. False: the connection is gone, by
  // a fault or the client's doing.
  bool ReadUpload(Exchange& exchange, const std::function<bool(std::string_view)>& take);

  static void AnswerError(Exchange& exchange, int status, const std::string& message);
  static void AnswerJson(Exchange& exchange, const nlohmann::json& value);

  std::mutex mutex_;
  const size_t page_objects_;
  std::map<std::string, Bucket> buckets_;
  std::map<std::string, Session> sessions_;
  std::set<std::string> tokens_;
  Faults faults_;
  Stats stats_;
  std::vector<std::string> log_;
  uint64_t since_drop_ = 0;
  uint64_t last_writer_ = 0;
  RateLimit link_;
  HttpServer server_;  // last: its threads use the others
};

// The inverse of each other's JSON, for the admin requests and the program's arguments.
ApiResult<GcsServer::Faults> FaultsFromJson(const nlohmann::json& json);
nlohmann::json ToJson(const GcsServer::Stats& stats);

}  // namespace holdfast::fakes
