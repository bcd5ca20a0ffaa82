#include "storage/remote/retry.h"

#include <gtest/gtest.h>

namespace holdfast::storage::remote {
namespace {

using namespace std::chrono_literals;

Result<http::Response> Status(int status) { return http::Response{.status = status}; }

TEST(RetryTest, TriesAgainWhatIsTransientOnly) {
  for (const int status : {408, 429, 500, 502, 503, 504}) EXPECT_TRUE(IsTransient(Status(status)));
  for (const int status : {200, 204, 206, 308, 400, 401, 403, 404, 410, 412, 416})
    EXPECT_FALSE(IsTransient(Status(status))) << status;
  EXPECT_TRUE(IsTransient(Fail(Code::kUnavailable, "reset")));
  for (const Code code : {Code::kDenied, Code::kTimeout, Code::kCancelled, Code::kInvalid})
    EXPECT_FALSE(IsTransient(Fail(code, "x")));
}

TEST(RetryTest, PausesAreRandomAndBounded) {
  Backoff backoff(http::Clock::now() + 1h);
  std::chrono::milliseconds bound = 200ms;
  for (int i = 0; i < 20; ++i) {
    const auto pause = backoff.Next(Status(503));
    ASSERT_TRUE(pause);
    EXPECT_LE(*pause, bound);
    bound = std::min(bound * 2, std::chrono::milliseconds(10s));
  }
  Backoff a(http::Clock::now() + 1h), b(http::Clock::now() + 1h);
  bool differ = false;
  for (int i = 0; i < 10; ++i) differ |= a.Next(Status(503)) != b.Next(Status(503));
  EXPECT_TRUE(differ);
}

TEST(RetryTest, GivesUpRatherThanMissTheDeadline) {
  Backoff backoff(http::Clock::now() - 1ms);
  EXPECT_FALSE(backoff.Next(Status(503)));
}

TEST(RetryTest, HurriesWhenLittleTimeIsLeft) {
  Backoff backoff(http::Clock::now() + 2s);
  // Long pauses would be due by now.
  for (int i = 0; i < 20; ++i) {
    const auto pause = backoff.Next(Status(503));
    ASSERT_TRUE(pause);
    EXPECT_LE(*pause, 500ms);
  }
}

TEST(RetryTest, WaitsAsLongAsTheServerAsks) {
  http::Response response{.status = 429, .headers = {{"retry-after", "3"}}};
  Backoff backoff(http::Clock::now() + 1h);
  EXPECT_GE(*backoff.Next(response), 3s);
  Backoff hurried(http::Clock::now() + 2s);
  EXPECT_FALSE(hurried.Next(response));
}

}  // namespace
}  // namespace holdfast::storage::remote
