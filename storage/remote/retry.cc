#include "storage/remote/retry.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

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

}  // namespace

bool IsTransient(const Result<http::Response>& response) {
  if (!response) return response.error().code() == Code::kUnavailable;
  const int status = response->status;
  return status == 408 || status == 429 || status >= 500;
}

bool IsNobodyThere(const Result<http::Response>& response) {
  if (response) return false;
  const int why = response.error().errno_value();
  return why == ECONNREFUSED || why == ENETUNREACH || why == EHOSTUNREACH;
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

}  // namespace holdfast::storage::remote
