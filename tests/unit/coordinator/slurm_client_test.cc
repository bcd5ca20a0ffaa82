#include "coordinator/slurm_client.h"

#include <gtest/gtest.h>

namespace holdfast::coordinator {
namespace {

TEST(MergeComment, KeepsTheUsersOwn) {
  EXPECT_EQ(MergeComment("", "it failed"), "holdfast: it failed");
  EXPECT_EQ(MergeComment("mine", "it failed"), "mine; holdfast: it failed");
  EXPECT_EQ(MergeComment("mine; holdfast: it failed", "again"), "mine; holdfast: again");
  EXPECT_EQ(MergeComment("mine; holdfast: it failed", ""), "mine");
  EXPECT_EQ(MergeComment("holdfast: it failed", ""), "");
  EXPECT_EQ(MergeComment("mine", ""), "mine");
}

TEST(MergeComment, IsOneLineOfBoundedLength) {
  EXPECT_EQ(MergeComment("", "a\nb"), "holdfast: a b");
  EXPECT_LT(MergeComment("", std::string(5000, 'x')).size(), 1100U);
  // Slurm's database takes UTF-8 only.
  EXPECT_EQ(MergeComment("", "/tmp/\xff is gone"), "holdfast: /tmp/\\xff is gone");
}

}  // namespace
}  // namespace holdfast::coordinator
