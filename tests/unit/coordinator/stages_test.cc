// The drawing of the state machine's table in the documentation. That the table is right is checked
// by World, after every step of every test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "coordinator/state.h"

namespace holdfast::coordinator {
namespace {

TEST(Stages, AreDrawnAsTheyAre) {
  const std::ifstream file(HOLDFAST_SOURCE_DIR "/docs/stages.md");
  ASSERT_TRUE(file);
  std::ostringstream page;
  page << file.rdbuf();
  EXPECT_EQ(page.str(), DrawStages()) << "build the target coordinator_stages";
}

TEST(Stages, AJobLeadsOnlyWhereItsRowSays) {
  Job job;
  job.pods.resize(1);
  job.stage = Stage::kFreezing;
  const Event prepared{.body = v1::Prepared{}};
  EXPECT_TRUE(MayLead(job, prepared, Stage::kCommitting));
  EXPECT_TRUE(MayLead(job, prepared, Stage::kFreezing));
  EXPECT_FALSE(MayLead(job, prepared, Stage::kSettling));
  job.stage = Stage::kGathering;
  EXPECT_FALSE(MayLead(job, prepared, Stage::kGathering)) << "refused there";
}

}  // namespace
}  // namespace holdfast::coordinator
