// What is tried again, and when. The one place that decides it for all requests to object stores
// and their token servers.
#pragma once

#include <chrono>
#include <optional>
#include <random>

#include "base/http_client.h"

namespace holdfast::storage::remote {

// Whether the same request may succeed later: no whole answer came, or one that the stores'
// documentation calls transient (https://cloud.google.com/storage/docs/retry-strategy,
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html): 408, 429 and 5xx.
bool IsTransient(const Result<http::Response>& response);

// Pauses between attempts: random between nothing and a bound ("full jitter"), so that the pods of
// a job, which all fail at the same moment, do not all come back at the same moment. The bound
// doubles from 200 ms to 10 s, but is never more than a quarter of the time that is left, so that
// the last seconds before a node goes are used. Not thread-safe: one for each operation.
class Backoff {
 public:
  explicit Backoff(http::Clock::time_point deadline);
  // The next pause, or nothing when it would reach the deadline. A server that said Retry-After
  // is given that much at least.
  std::optional<std::chrono::milliseconds> Next(const Result<http::Response>& response);
  // Something was achieved: short pauses again.
  void Reset() { bound_ = kFirst; }
  http::Clock::time_point deadline() const { return deadline_; }

 private:
  static constexpr std::chrono::milliseconds kFirst{200};
  static constexpr std::chrono::milliseconds kLongest{10000};
  const http::Clock::time_point deadline_;
  std::chrono::milliseconds bound_ = kFirst;
  std::minstd_rand random_;
};

// Sends it, and again while that may help, for half a minute. The last answer; it may be one that
// IsTransient.
Result<http::Response> SendPatiently(http::Client& client, http::Request request);

// The same with a metadata server, which a machine of a cloud has and another has not: that nobody
// is there is final at once. kNotFound if there was no answer: whoever wants it does not wait
// again.
Result<http::Response> AskMetadataServer(http::Client& client, http::Request request);

}  // namespace holdfast::storage::remote
