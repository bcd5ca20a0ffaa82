// Makes real pods: needs root.
#include "warden/isolation/clocks.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "base/files.h"
#include "base/numbers.h"

namespace holdfast::warden {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr int64_t kDay = nanoseconds(std::chrono::days(1)).count();
// Far less than what the tests set clocks to, far more than they take.
constexpr int64_t kHour = nanoseconds(std::chrono::hours(1)).count();

class ClocksTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make namespaces";
    auto pod = Pod::Create({.hostname = "pod",
                            .owner = {.uid = 65534, .gid = 65534, .groups = {}},
                            .init_program = HOLDFAST_TEST_POD_INIT});
    ASSERT_TRUE(pod) << pod.error().message();
    pod_ = std::move(*pod);
  }
  void TearDown() override { pod_.reset(); }

  std::map<std::string, std::string> Described() {
    const auto described = DescribeClocks(*pod_);
    EXPECT_TRUE(described) << described.error().message();
    return described.value_or(std::map<std::string, std::string>{});
  }
  static int64_t Number(const std::map<std::string, std::string>& clocks, const char* name) {
    return ParseNumber<int64_t>(clocks.at(name)).value_or(-1);
  }
  // What a program in the pod sees.
  int64_t Seen(const std::string& clock) {
    SpawnOptions options;
    options.argv = {"/usr/bin/python3", "-c",
                    "import time; print(time.clock_gettime_ns(time." + clock + "), end='')"};
    pod_->Enter(options);
    const auto output = RunCommand(options, seconds(20));
    EXPECT_TRUE(output) << output.error().message();
    return output ? ParseNumber<int64_t>(output->output).value_or(-1) : -1;
  }

  std::unique_ptr<Pod> pod_;
};

TEST_F(ClocksTest, ANewPodHasTheNodes) {
  timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t here = nanoseconds(seconds(now.tv_sec)).count();
  EXPECT_NEAR(Seen("CLOCK_MONOTONIC"), here, kHour);
  EXPECT_NEAR(Number(Described(), "monotonic_ns"), here, kHour);
}

TEST_F(ClocksTest, GoOnAsIfTheMachineHadBeenSuspended) {
  auto saved = Described();
  const int64_t monotonic = Number(saved, "monotonic_ns") + 40 * kDay;
  const int64_t boottime = Number(saved, "boottime_ns") + 50 * kDay;
  saved["monotonic_ns"] = std::to_string(monotonic);
  saved["boottime_ns"] = std::to_string(boottime);
  saved["realtime_ns"] = std::to_string(Number(saved, "realtime_ns") - 3 * kDay);
  const Status set = SetClocks(*pod_, saved);
  ASSERT_TRUE(set) << set.error().message();
  EXPECT_NEAR(Seen("CLOCK_MONOTONIC"), monotonic, kHour);
  EXPECT_GE(Seen("CLOCK_MONOTONIC"), monotonic);
  EXPECT_NEAR(Seen("CLOCK_MONOTONIC_RAW"), monotonic, kHour);
  EXPECT_NEAR(Seen("CLOCK_BOOTTIME"), boottime + 3 * kDay, kHour);
  EXPECT_NEAR(Number(Described(), "monotonic_ns"), monotonic, kHour);
  EXPECT_NEAR(Number(Described(), "boottime_ns"), boottime + 3 * kDay, kHour);
}

TEST_F(ClocksTest, ANodeThatHasBeenUpForLonger) {
  auto saved = Described();
  saved["monotonic_ns"] = std::to_string(nanoseconds(seconds(7)).count());
  saved["boottime_ns"] = std::to_string(nanoseconds(seconds(8)).count());
  const Status set = SetClocks(*pod_, saved);
  ASSERT_TRUE(set) << set.error().message();
  // Close to the node's boot itself: this machine may have been up for minutes only.
  EXPECT_LT(Seen("CLOCK_MONOTONIC"), nanoseconds(seconds(100)).count());
  EXPECT_GE(Seen("CLOCK_MONOTONIC"), nanoseconds(seconds(7)).count());
}

TEST_F(ClocksTest, ATimeOfDayThatWasSetBackTakesNothingAway) {
  auto saved = Described();
  saved["realtime_ns"] = std::to_string(Number(saved, "realtime_ns") + 3 * kDay);
  ASSERT_TRUE(SetClocks(*pod_, saved));
  EXPECT_GE(Seen("CLOCK_BOOTTIME"), Number(saved, "boottime_ns"));
}

TEST_F(ClocksTest, SavedByAnEarlierVersion) {
  const Status set = SetClocks(*pod_, {{"arch", "x86_64"}});
  EXPECT_TRUE(set) << set.error().message();
}

TEST_F(ClocksTest, RefusesWhatIsNoTime) {
  auto saved = Described();
  for (const char* value : {"", "-1", "1e9", "99999999999999999999"}) {
    saved["monotonic_ns"] = value;
    const Status set = SetClocks(*pod_, saved);
    ASSERT_FALSE(set);
    EXPECT_EQ(set.error().code(), Code::kCorrupt);
    EXPECT_THAT(set.error().message(), HasSubstr("monotonic_ns"));
  }
}

}  // namespace
}  // namespace holdfast::warden
