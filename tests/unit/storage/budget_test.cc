#include "storage/budget.h"

#include <gtest/gtest.h>

namespace holdfast::storage {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// 16 MiB is the least that can be configured, and that a job's limit must leave.
TEST(BudgetTest, IsNotExceeded) {
  for (const uint64_t total : {16 * kMiB, 20 * kMiB, 64 * kMiB, 256 * kMiB, 1024 * kMiB})
    for (const size_t write_bytes : {kMiB / 16, 4 * kMiB, 8 * kMiB})
      for (const unsigned threads : {1u, 4u, 64u}) {
        const Budget budget({.threads = threads, .memory_budget_bytes = total}, write_bytes);
        EXPECT_LE(budget.size_bytes(write_bytes), total) << write_bytes << " " << threads;
      }
}

TEST(BudgetTest, WithTheDefaultEveryThreadWritesAndCompresses) {
  const Budget budget({.threads = 4}, 4 * kMiB);
  EXPECT_EQ(budget.lanes, 4u);
  EXPECT_EQ(budget.compressors, 4u);
  EXPECT_GT(budget.shards, 16u);
}

TEST(BudgetTest, ThereIsAlwaysOneOfEach) {
  const Budget budget({.threads = 0, .memory_budget_bytes = 0}, 8 * kMiB);
  EXPECT_EQ(budget.lanes, 1u);
  EXPECT_EQ(budget.compressors, 1u);
  EXPECT_GE(budget.shards, 1u);
  EXPECT_GT(budget.known_bytes, 0u);
}

}  // namespace
}  // namespace holdfast::storage
