#include "pod/steps/file_pattern.h"

#include <gmock/gmock.h>

namespace holdfast::pod {
namespace {

TEST(ExpandPattern, KnowsSlurmsLetters) {
  const PatternValues values{.job = 7,
                             .step = 2,
                             .task = 3,
                             .node = 1,
                             .host = "n2.site",
                             .user = "alice",
                             .job_name = "fit"};
  EXPECT_EQ(ExpandPattern("%x_%j.%s.%t.%n.%N.%u.out", values), "fit_7.2.3.1.n2.alice.out");
  EXPECT_EQ(ExpandPattern("%J %3t %%", values), "7.2 003 %");
  EXPECT_EQ(ExpandPattern("\\%j", values), "%j");
}

TEST(DiffersByTask, SeesTasksAndNodes) {
  EXPECT_TRUE(DiffersByTask("a.%2t"));
  EXPECT_TRUE(DiffersByTask("a.%N"));
  EXPECT_FALSE(DiffersByTask("a.%j.%%t"));
}

}  // namespace
}  // namespace holdfast::pod
