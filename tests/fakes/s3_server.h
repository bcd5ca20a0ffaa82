// An S3 server for tests, by the published protocol: signatures, objects by path-style URLs,
// conditional writes, multipart uploads, ranged reads, lists in pages, checksums; with faults on
// demand.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "tests/fakes/http_server.h"

namespace holdfast::fakes {

class S3Server {
 public:
  enum class Conditions { kKept, kIgnored, kNotImplemented };
  struct Options {
    std::string bucket = "bucket";
    std::string region = "us-east-1";
    std::map<std::string, std::string> keys{{"AKIDTEST", "secret-of-test"}};
    std::string session_token;  // that requests must carry; empty: none
    size_t page_keys = 1000;    // longest page of a list
    size_t min_part_bytes = 5 << 20;
    Conditions conditions = Conditions::kKept;
    bool checksums = true;  // are checked, kept and told
  };
  // Answers `status` and an error of that code to the next `count` requests whose
  // "METHOD path?query" contains `match`.
  struct Failure {
    std::string match;
    int status = 503;
    std::string code = "SlowDown";
    int count = 1;
  };
  struct Faults {
    std::vector<Failure> failures;
    int lose_answers = 0;      // objects are created, but the connection is reset instead
    int break_requests = 0;    // reset before a body has been read
    int cut_downloads = 0;     // end so many answers in the middle of their body
    int damage_downloads = 0;  // flip a bit of what is sent
    int damage_stored = 0;     // flip a bit of what is stored, after the signature was checked
    int late_errors = 0;       // answer completions with status 200 and an error
  };

  S3Server() : S3Server(Options()) {}
  explicit S3Server(Options options);
  ~S3Server();

  std::string url() const { return server_.url(); }
  void SetFaults(Faults faults);
  void SetSessionToken(const std::string& token);
  std::optional<std::string> Contents(const std::string& name);
  size_t open_uploads();
  // "METHOD path?query" of the requests so far.
  std::vector<std::string> log();

 private:
  struct Object {
    std::string data, etag, checksum;
    Headers metadata;
  };
  struct Part {
    std::string data, etag, crc;
  };
  struct MultipartUpload {
    std::string name;
    Headers metadata;
    std::map<int, Part> parts;
  };

  void Handle(Exchange& exchange);
  void List(Exchange& exchange);
  void Get(Exchange& exchange, const std::string& name);
  void Put(Exchange& exchange, const std::string& name, std::string body);
  void PutPart(Exchange& exchange, std::string body);
  void Start(Exchange& exchange, const std::string& name);
  void Complete(Exchange& exchange, const std::string& name, const std::string& body);
  // Whether the exchange goes on: a condition that is not met has been answered.
  bool ConditionMet(Exchange& exchange, const std::string& name);
  // The answer to what created an object, which a fault may lose.
  void AnswerCreated(Exchange& exchange, const Headers& headers, const std::string& body);
  static void AnswerError(Exchange& exchange, int status, const std::string& code);

  std::mutex mutex_;  // held while a request is worked on, but not while bodies come or go
  const Options options_;
  std::string session_token_;
  Faults faults_;
  std::map<std::string, Object> objects_;
  std::map<std::string, MultipartUpload> uploads_;
  std::vector<std::string> log_;
  unsigned last_upload_ = 0;
  HttpServer server_;  // last: its threads use the others
};

}  // namespace holdfast::fakes
