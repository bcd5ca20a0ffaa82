// A credential that expires: kept until shortly before its end; then one caller fetches a new one
// while the others wait. Thread-safe.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <mutex>
#include <optional>

#include "base/http_client.h"

namespace holdfast::storage::remote {

template <typename T>
struct Fresh {
  T value;
  std::chrono::seconds lifetime{0};
};

template <typename T>
class Renewed {
 public:
  // `fetch` is called by one thread at a time.
  explicit Renewed(std::function<Result<Fresh<T>>()> fetch) : fetch_(std::move(fetch)) {}

  Result<T> Get() {
    const std::lock_guard lock(mutex_);
    const auto now = http::Clock::now();
    if (current_ && now < renew_at_) return *current_;
    auto fresh = fetch_();
    if (!fresh) {
      // A server that is away for a moment does not matter while the old one is good.
      if (current_ && now < expires_at_) return *current_;
      return std::unexpected(std::move(fresh).error());
    }
    current_ = std::move(fresh->value);
    expires_at_ = now + fresh->lifetime;
    renew_at_ = expires_at_ - std::min(kRenewBefore, fresh->lifetime / 2);
    return *current_;
  }

  // It was refused: the next call fetches a new one, unless somebody has already.
  void Reject(const T& value) {
    const std::lock_guard lock(mutex_);
    if (current_ == value) current_.reset();
  }

 private:
  // Google's metadata server itself keeps a token until five minutes before its end.
  static constexpr std::chrono::seconds kRenewBefore{225};
  const std::function<Result<Fresh<T>>()> fetch_;
  std::mutex mutex_;
  std::optional<T> current_;
  http::Clock::time_point renew_at_;
  http::Clock::time_point expires_at_;
};

}  // namespace holdfast::storage::remote
