#include "warden/loop/job_files.h"

#include <gtest/gtest.h>

namespace holdfast::warden {
namespace {

TEST(DescribeFiles, TellsWhatPod0MustKnow) {
  v1::Part part;
  EXPECT_EQ(DescribeFiles({{.path = "/a", .size_bytes = 7, .inode = 9, .append = true}}, 2, part),
            0u);
  ASSERT_EQ(part.files_size(), 1);
  EXPECT_EQ(part.files(0).path(), "/a");
  EXPECT_EQ(part.files(0).size_bytes(), 7u);
  EXPECT_EQ(part.files(0).inode(), 9u);
  EXPECT_TRUE(part.files(0).append());
  EXPECT_FALSE(part.files(0).job_output());
}

TEST(DescribeFiles, AllPodsTogetherFitIntoOneMessage) {
  constexpr uint32_t kPods = 64;
  const std::vector<storage::FileRecord> files(10'000, {.path = std::string(100, 'x')});
  v1::Part part;
  const size_t left_out = DescribeFiles(files, kPods, part);
  EXPECT_EQ(left_out + static_cast<size_t>(part.files_size()), files.size());
  EXPECT_GT(part.files_size(), 100);
  EXPECT_LT(part.ByteSizeLong() * kPods, 4U << 20);
}

TEST(RollbackOptionsOf, FollowsTheJob) {
  Job job;
  job.environment.job_id = 17;
  job.options.rollback = RollbackPolicy::kAppend;
  job.options.directory = "file:///ckpt";
  const RollbackOptions options = RollbackOptionsOf(job, 4);
  EXPECT_EQ(options.policy, RollbackPolicy::kAppend);
  EXPECT_TRUE(options.leader);
  EXPECT_EQ(options.job_id, 17u);
  EXPECT_EQ(options.checkpoint, 4u);
  EXPECT_EQ(options.excluded, "/ckpt");
}

}  // namespace
}  // namespace holdfast::warden
