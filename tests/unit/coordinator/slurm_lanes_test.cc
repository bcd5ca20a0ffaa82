#include "coordinator/slurm_lanes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <semaphore>

namespace holdfast::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SlurmLanesTest : public ::testing::Test {
 protected:
  // Slurm takes its time with all that can be asked at once.
  void Block() {
    lanes_.Start();
    for (int i = 0; i < kAtOnce; ++i) {
      lanes_.Push(Lane::kUrgent, "slow " + std::to_string(i), [this] {
        begun_.release();
        gate_.acquire();
      });
      begun_.acquire();
    }
  }
  // Then it answers one after the other.
  void Unblock() {
    gate_.release();
    for (size_t i = 0; i < pushed_; ++i)
      ASSERT_TRUE(done_.try_acquire_for(std::chrono::seconds(10)));
    gate_.release(kAtOnce - 1);
  }
  void Push(Lane lane, const std::string& subject, const std::string& name) {
    ++pushed_;
    lanes_.Push(lane, subject, [this, name] {
      order_.push_back(name);
      done_.release();
    });
  }

  static constexpr int kAtOnce = 3;
  std::counting_semaphore<> begun_{0};
  std::counting_semaphore<> gate_{0};
  std::counting_semaphore<> done_{0};
  std::vector<std::string> order_;
  size_t pushed_ = 0;
  SlurmLanes lanes_;
};

TEST_F(SlurmLanesTest, WhatIsUrgentComesFirstAndPollingLast) {
  Block();
  Push(Lane::kPolling, "poll", "poll");
  Push(Lane::kOrdinary, "1", "comment 1");
  Push(Lane::kOrdinary, "2", "amend 2");
  Push(Lane::kUrgent, "3", "requeue 3");
  Push(Lane::kUrgent, "look up", "look up");
  Unblock();
  EXPECT_THAT(order_, ElementsAre("requeue 3", "look up", "comment 1", "amend 2", "poll"));
}

TEST_F(SlurmLanesTest, OfOneJobTheOrderIsKept) {
  Block();
  Push(Lane::kOrdinary, "1", "comment 1");
  Push(Lane::kOrdinary, "2", "amend 2");
  Push(Lane::kUrgent, "2", "requeue 2");
  Push(Lane::kOrdinary, "2", "comment 2");
  Unblock();
  EXPECT_THAT(order_, ElementsAre("amend 2", "requeue 2", "comment 1", "comment 2"));
}

TEST_F(SlurmLanesTest, OneJobIsNotAskedAboutTwiceAtOnce) {
  lanes_.Start();
  std::atomic<int> at_once = 0, most = 0;
  constexpr int kRequests = 50;
  for (int i = 0; i < kRequests; ++i)
    lanes_.Push(Lane::kOrdinary, "1", [&] {
      most = std::max(most.load(), ++at_once);
      std::this_thread::yield();
      --at_once;
      done_.release();
    });
  for (int i = 0; i < kRequests; ++i) done_.acquire();
  EXPECT_EQ(most, 1);
}

TEST_F(SlurmLanesTest, StopWaitsForWhatIsUnderWayOnly) {
  Block();
  Push(Lane::kUrgent, "1", "never");
  std::thread stopping([this] { lanes_.Stop(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  gate_.release(kAtOnce);
  stopping.join();
  EXPECT_THAT(order_, IsEmpty());
}

}  // namespace
}  // namespace holdfast::coordinator
