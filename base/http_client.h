// HTTP over libcurl, for the object store, for tokens and for the clouds' metadata servers.
//
// One Client has one thread, which drives all its transfers through curl's multi interface:
// connections are kept and reused, and many transfers run at once without a thread each. TLS
// certificates are always verified and redirects never followed, so that a token given to one host
// is never given to another. What is sent, and every header, stays out of messages and logs.
//
// Used by storage/remote and the back ends over it, and by warden/notices. Thread-safe: Send may be
// called from many threads.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::http {

using Clock = std::chrono::steady_clock;

// Signs the request with AWS Signature Version 4. Headers that are to be signed, the session
// token's and the body's hash among them, are those of the request.
struct AwsSignature {
  std::string region, service;
  std::string key_id, secret;
};

struct Request {
  std::string method = "GET";
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  // What is sent. Not copied: it must stay until Send returns.
  std::optional<std::span<const std::byte>> body;
  // Where the body of a 2xx answer goes instead of Response::body. One that does not fit is an
  // error.
  std::span<std::byte> sink;
  std::optional<AwsSignature> aws_signature;
  Clock::time_point deadline = Clock::time_point::max();
  // A transfer that moves nothing for so long has failed; 0 s lets it wait until the deadline.
  std::chrono::seconds stall_timeout{20};
  std::chrono::milliseconds connect_timeout{10000};
  // Many bytes: HTTP/1.1, for HTTP/2 would put all transfers into one TCP connection. Small
  // requests may share one.
  bool bulk = false;
  // Never through a proxy (metadata servers, which answer only to their own machine).
  bool direct = false;
  std::stop_token stop;  // gives the transfer up with kCancelled
};

struct Response {
  int status = 0;
  std::map<std::string, std::string, std::less<>> headers;  // names in lower case
  std::string body;                                         // empty if it went into the sink
  // The header's value, or "".
  std::string_view Header(std::string_view name) const;
};

// What became of a request. A status is an answer, whatever it says; only a request without a whole
// answer is an error:
//   kUnavailable  no connection (errno says why), or it broke, or stalled: trying again may help
//   kTimeout      the deadline passed
//   kDenied       the server's certificate was not accepted
//   kCancelled    stopped
//   kInvalid      the URL, or more came than the sink holds
struct Outcome {
  Result<Response> response;
  uint64_t sent_bytes = 0;      // of the body, given to the network
  uint64_t received_bytes = 0;  // that lie in the sink, also if the answer broke off
};

struct ClientOptions {
  std::string ca_file;            // instead of the system's
  std::string proxy;              // instead of https_proxy and no_proxy of the environment
  unsigned max_connections = 32;  // to one host
};

class Client {
 public:
  explicit Client(ClientOptions options = {});
  // No Send may be under way.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Blocks until the answer is complete or the request has failed.
  Outcome Send(const Request& request);

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

// "a b/c" -> "a%20b%2Fc": one piece of a path or query.
std::string Escape(std::string_view text);

}  // namespace holdfast::http
