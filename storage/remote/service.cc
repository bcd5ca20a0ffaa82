#include "storage/remote/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <thread>

#include "storage/remote/retry.h"

namespace holdfast::storage::remote {
namespace {

// Of all readers together: several that go through their objects in order, each with what is
// fetched ahead of it.
constexpr size_t kBlocksKept = 16;

// How many transfers may stall, one after the other, before a deadline that was set.
constexpr int kStallsInTime = 4;

}  // namespace

Service::Service(Limits limits, std::unique_ptr<http::Client> client)
    : limits_(limits), client_(std::move(client)), blocks_(kBlocksKept) {}

bool Service::IsTransient(const Result<http::Response>& response) const {
  return remote::IsTransient(response);
}

http::Clock::time_point Service::Deadline() const {
  const auto now = http::Clock::now();
  const auto deadline = deadline_.load();
  const auto patient = now + limits_.patience;
  return deadline > now ? std::min(deadline, patient) : patient;
}

std::chrono::seconds Service::StallTimeout() const {
  const auto now = http::Clock::now();
  const auto deadline = deadline_.load();
  if (deadline <= now) return limits_.stall_timeout;
  const auto share = std::chrono::floor<std::chrono::seconds>((deadline - now) / kStallsInTime);
  return std::clamp(share, std::chrono::seconds(1), limits_.stall_timeout);
}

http::Outcome Service::SendPlain(http::Request request) {
  request.stall_timeout = StallTimeout();
  return client_->Send(request);
}

Result<http::Response> Service::Call(http::Request request, const std::string& what) {
  Backoff backoff(Deadline());
  request.deadline = backoff.deadline();
  std::optional<Result<http::Response>> before;
  while (true) {
    http::Outcome outcome = SendAuthorized(request);
    // What an attempt that the deadline cut off would have said, the one before said.
    const bool cut_off = !outcome.response && outcome.response.error().code() == Code::kTimeout;
    if (cut_off && before) return std::unexpected(GivenUp(*before, what));
    if (!IsTransient(outcome.response)) {
      if (!outcome.response) return std::unexpected(std::move(outcome.response).error().Wrap(what));
      return std::move(outcome.response);
    }
    const auto pause = backoff.Next(outcome.response);
    if (!pause) return std::unexpected(GivenUp(outcome.response, what));
    std::this_thread::sleep_for(*pause);
    before = std::move(outcome.response);
  }
}

Error Service::GivenUp(const Result<http::Response>& response, const std::string& what) const {
  const Error last = response ? ToError(*response, what) : Error(response.error()).Wrap(what);
  const bool hurried = deadline_.load() != http::Clock::time_point::max();
  return Error(last.code(), hurried
                                ? fmt::format("{}; tried until the notice was over", last.message())
                                : fmt::format("{}; tried for {} s without progress", last.message(),
                                              limits_.patience.count()));
}

}  // namespace holdfast::storage::remote
