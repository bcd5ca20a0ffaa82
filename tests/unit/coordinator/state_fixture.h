// A job of two pods, as far as the tests of the state machine begin with it.
#pragma once

#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <vector>

#include "tests/unit/coordinator/world.h"

namespace holdfast::coordinator {

class StateTest : public ::testing::Test {
 protected:
  void Run() {
    world.StartJob();
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kRunning);
  }
  // Delivers until the stage is reached.
  void Reach(Stage stage) {
    for (int i = 0; i < 100 && world.job.stage != stage; ++i) world.Advance();
    ASSERT_EQ(world.job.stage, stage);
  }
  static v1::Notice Sigterm() {
    v1::Notice notice;
    notice.set_signal(SIGTERM);
    return notice;
  }
  Status Save(bool stop = false) {
    return world.Happen(Wish{.reason = stop ? Reason::kMigrate : Reason::kSave,
                             .stop = stop,
                             .excluded = stop ? world.job.nodes() : std::vector<std::string>{}});
  }
  void Preempt() {
    world.slurm.preempt_time = world.slurm.start_time + 5;
    ASSERT_TRUE(world.Happen(Sigterm(), 0));
    ASSERT_TRUE(world.Happen(Sigterm(), 1));
  }
  Status Fail(uint32_t pod, v1::Phase phase, const std::string& code, uint32_t checkpoint = 0) {
    v1::Failed failed;
    failed.set_phase(phase);
    failed.set_code(code);
    failed.set_message("because of " + code);
    failed.set_checkpoint(checkpoint);
    return world.Happen(failed, pod);
  }
  World world{2};
};

}  // namespace holdfast::coordinator
