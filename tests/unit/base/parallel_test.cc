#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

namespace holdfast {
namespace {

TEST(ForEachParallel, DoesEveryPieceOnce) {
  std::vector<std::atomic<int>> calls(1000);
  ASSERT_TRUE(ForEachParallel(4, calls.size(), [&](size_t i) -> Status {
    ++calls[i];
    return {};
  }));
  for (const auto& count : calls) EXPECT_EQ(count, 1);
}

TEST(ForEachParallel, StopsAtTheFirstFailure) {
  std::atomic<int> calls = 0;
  const Status status = ForEachParallel(1, 1000, [&](size_t i) -> Status {
    ++calls;
    if (i == 10) return Fail(Code::kNoSpace, "full");
    return {};
  });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kNoSpace);
  EXPECT_EQ(calls, 11);
}

TEST(ForEachParallel, NothingToDo) {
  EXPECT_TRUE(ForEachParallel(4, 0, [](size_t) { return Fail(Code::kInternal, "called"); }));
}

}  // namespace
}  // namespace holdfast
