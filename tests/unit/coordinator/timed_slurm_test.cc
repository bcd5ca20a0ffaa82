#include "coordinator/timed_slurm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/fakes.h"

namespace holdfast::coordinator {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(TimedSlurm, AnswersAreThoseOfSlurmAndAreCounted) {
  Metrics metrics;
  auto fake = std::make_unique<FakeSlurm>();
  FakeSlurm& real = *fake;
  const auto slurm = TimeRequests(std::move(fake), metrics);
  real.Run(7, 1000, {"n1"});
  EXPECT_EQ(slurm->Load(7)->nodes, std::vector<std::string>{"n1"});
  EXPECT_EQ(slurm->Poll({7})->size(), 1U);
  EXPECT_EQ(slurm->LoadNodes()->size(), 4U);
  EXPECT_TRUE(slurm->SetComment(7, "held"));
  EXPECT_EQ(real.CommentOf(7), MergeComment("", "held"));
  real.away = true;
  EXPECT_EQ(slurm->Load(7).error().code(), Code::kUnavailable);
  EXPECT_EQ(slurm->Drain("n9", "new disk").error().code(), Code::kNotFound);
  EXPECT_THAT(metrics.Text(),
              AllOf(HasSubstr("holdfast_slurm_request_seconds_count{request=\"load\"} 2\n"),
                    HasSubstr("holdfast_slurm_request_seconds_count{request=\"poll\"} 1\n"),
                    HasSubstr("request_failures_total{request=\"load\",code=\"unavailable\"} 1\n"),
                    HasSubstr("request_failures_total{request=\"drain\",code=\"not-found\"} 1\n")));
}

}  // namespace
}  // namespace holdfast::coordinator
