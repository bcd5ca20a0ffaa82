#include "storage/remote/retry.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <thread>
#include <utility>

namespace holdfast::storage::remote {
namespace {

// Retry-After in seconds; its other form, a date, is used by no store.
std::chrono::milliseconds AskedFor(const Result<http::Response>& response) {
  unsigned seconds = 0;
  if (response) {
    const std::string_view text = response->Header("retry-after");
    std::from_chars(text.data(), text.data() + text.size(), seconds);
  }
  return std::chrono::seconds(std::min(seconds, 60U));
}

constexpr std::chrono::seconds kPatience{30};

Result<http::Response> SendWhile(bool (*may_help)(const Result<http::Response>&),
                                 http::Client& client, http::Request request) {
  Backoff backoff(http::Clock::now() + kPatience);
  request.deadline = backoff.deadline();
  while (true) {
    http::Outcome outcome = client.Send(request);
    const auto pause = may_help(outcome.response) ? backoff.Next(outcome.response) : std::nullopt;
    if (!pause) return std::move(outcome.response);
    std::this_thread::sleep_for(*pause);
  }
}

bool MayComeYet(const Result<http::Response>& response) {
  const int why = response ? 0 : response.error().errno_value();
  const bool nobody_is_there = why == ECONNREFUSED || why == ENETUNREACH || why == EHOSTUNREACH;
  return !nobody_is_there && IsTransient(response);
}

}  // namespace

bool IsTransient(const Result<http::Response>& response) {
  if (!response) return response.error().code() == Code::kUnavailable;
  const int status = response->status;
  return status == 408 || status == 429 || status >= 500;
}

Backoff::Backoff(http::Clock::time_point deadline)
    : deadline_(deadline), random_(std::random_device{}()) {}

std::optional<std::chrono::milliseconds> Backoff::Next(const Result<http::Response>& response) {
  const auto now = http::Clock::now();
  const auto left = std::chrono::floor<std::chrono::milliseconds>(deadline_ - now);
  const auto bound = std::clamp(left / 4, std::chrono::milliseconds(0), bound_);
  const std::chrono::milliseconds jitter(
      std::uniform_int_distribution<int64_t>(0, bound.count())(random_));
  const auto pause = std::max(jitter, AskedFor(response));
  bound_ = std::min(bound_ * 2, kLongest);
  if (now + pause >= deadline_) return std::nullopt;
  return pause;
}

Result<http::Response> SendPatiently(http::Client& client, http::Request request) {
  return SendWhile(IsTransient, client, std::move(request));
}

Result<http::Response> AskMetadataServer(http::Client& client, http::Request request) {
  request.connect_timeout = std::chrono::seconds(2);
  request.direct = true;
  auto response = SendWhile(MayComeYet, client, std::move(request));
  if (!response && response.error().code() == Code::kUnavailable)
    return Fail(Code::kNotFound, response.error().message());
  return response;
}

}  // namespace holdfast::storage::remote
