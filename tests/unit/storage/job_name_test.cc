#include "storage/urls/job_name.h"

#include <gtest/gtest.h>

namespace holdfast::storage {
namespace {

constexpr std::time_t kTime = 1'795'826'904;  // date -u -d @1795826904: 2026-11-28 00:48:24

TEST(JobNameTest, WithoutATimeOfSubmissionThereIsNoCluster) {
  EXPECT_EQ(NameOfJob("lab", 7, ""), JobName{.id = 7});
  EXPECT_EQ(NameOfJob("lab", 7, "20261128T004824Z"), (JobName{"lab", 7, "20261128T004824Z"}));
}

TEST(JobNameTest, DirectoriesParseBack) {
  for (const JobName& job :
       {JobName{"lab", 4242, SubmissionTime(kTime)}, JobName{"a-17", 1, SubmissionTime(0)},
        JobName{"x.y_Z", 4'000'000'000, SubmissionTime(kTime)}, JobName{.id = 17}}) {
    const auto parsed = ParseJobDirectory(job.Directory());
    ASSERT_TRUE(parsed) << job.Directory();
    EXPECT_EQ(*parsed, job) << job.Directory();
  }
  EXPECT_EQ((JobName{"lab", 4242, SubmissionTime(kTime)}.Directory()), "lab-4242-20261128T004824Z");
  EXPECT_EQ(JobName{.id = 17}.Directory(), "17");
}

TEST(JobNameTest, OtherDirectoriesAreNotOurs) {
  for (const char* name :
       {"", "017", "17x", "lab-17", "lab-17-", "-17-20261128T004824Z", "17-20261128T004824Z",
        "lab-017-20261128T004824Z", "lab--20261128T004824Z", "lab-17-20261128T004824",
        "lab-17-20261128t004824Z", "lab-17-2026112 T004824Z", "l b-17-20261128T004824Z",
        "a/b-17-20261128T004824Z", "lab-99999999999-20261128T004824Z"})
    EXPECT_FALSE(ParseJobDirectory(name)) << name;
}

TEST(JobNameTest, LaterSubmissionsAreGreater) {
  EXPECT_EQ(SubmissionTime(kTime), "20261128T004824Z");
  for (const std::time_t earlier : {std::time_t{0}, std::time_t{951'782'399}, kTime})
    EXPECT_LT(SubmissionTime(earlier), SubmissionTime(earlier + 1));
}

TEST(JobNameTest, AClusterThatCannotBeInAFilesNameIsRefused) {
  EXPECT_TRUE(CheckCluster("lab_1.example-2"));
  for (const char* cluster : {"", ".", "..", "a/b", "a b", "caf\xc3\xa9"}) {
    const auto checked = CheckCluster(cluster);
    ASSERT_FALSE(checked) << cluster;
    EXPECT_NE(checked.error().message().find("ClusterName '" + std::string(cluster) + "'"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace holdfast::storage
