#include "cli/table.h"

#include <gtest/gtest.h>

namespace holdfast::cli {
namespace {

TEST(Table, AlignsColumnsAndLeavesNoTrailingSpace) {
  Table table({"JOB", ">SIZE", "STATE"});
  EXPECT_TRUE(table.empty());
  table.Add({"7", "1.0 GiB", "running"});
  table.Add({"4242", "512 B", ""});
  EXPECT_FALSE(table.empty());
  EXPECT_EQ(table.ToString(),
            "JOB      SIZE  STATE\n"
            "7     1.0 GiB  running\n"
            "4242    512 B\n");
}

}  // namespace
}  // namespace holdfast::cli
