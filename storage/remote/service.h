// One connection pool to an object store: what is tried again and until when, and errors for
// people. Each store's own service says how a request is authorized and what its errors mean. Used
// by the back ends over HTTP only. Thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/http_client.h"
#include "config/config.h"
#include "storage/remote/block_cache.h"

namespace holdfast::storage::remote {

struct Limits {
  // How long an operation that makes no progress is tried again.
  std::chrono::seconds patience{120};
  // A transfer that moves nothing for so long is tried again.
  std::chrono::seconds stall_timeout{20};
  // What one request of a read fetches.
  size_t read_bytes = 4 << 20;
};

class Service {
 public:
  Service(Limits limits, std::unique_ptr<http::Client> client);
  virtual ~Service() = default;

  size_t read_bytes() const { return limits_.read_bytes; }
  BlockCache& blocks() { return blocks_; }

  // One attempt, authorized; a second one with new credentials if the first is refused.
  virtual http::Outcome SendAuthorized(http::Request request) = 0;
  // One attempt as it is.
  http::Outcome SendPlain(http::Request request);
  // Whether the same request may succeed later.
  virtual bool IsTransient(const Result<http::Response>& response) const;
  // The error for an answer that is not success: what it means here and what to do.
  virtual Error ToError(const http::Response& response, const std::string& what) const = 0;

  // Attempts until the answer is not transient, or `patience` has passed. Any other status may be
  // the answer. The request must be one that may be sent twice.
  Result<http::Response> Call(http::Request request, const std::string& what);
  // The error for having given up on a transient answer.
  Error GivenUp(const Result<http::Response>& response, const std::string& what) const;
  // Until when an operation that makes no progress from now on is tried: for `patience`, but no
  // longer than until the deadline that was set, if that is still to come.
  http::Clock::time_point Deadline() const;
  // Backend::SetDeadline.
  void SetDeadline(http::Clock::time_point deadline) { deadline_ = deadline; }

 protected:
  http::Client& client() { return *client_; }

 private:
  // So that several stalls fit into the time that is left.
  std::chrono::seconds StallTimeout() const;

  const Limits limits_;
  const std::unique_ptr<http::Client> client_;
  BlockCache blocks_;
  std::atomic<http::Clock::time_point> deadline_{http::Clock::time_point::max()};
};

}  // namespace holdfast::storage::remote
