// Waits of real processes that CRIU stops and lets go: needs root and CRIU.
#include "criu_fixture.h"

namespace holdfast::warden {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The kernel knows how long they still have to wait.
constexpr const char* kContinued =
    "nanosleep nanosleep-rest clock_nanosleep clock_nanosleep-absolute poll futex select";
// After every stop they wait the whole time again.
constexpr const char* kBegunAgain = "epoll_wait sigtimedwait semtimedop recv";

class PreloadTest : public CriuTest {
 protected:
  void StartWaits(const std::string& seconds, const std::string& ways,
                  const std::string& before = "", const std::string& after = "") {
    MakePod();
    StartRoot("mkfifo /tmp/go\n" + before + HOLDFAST_TEST_WAITER + " " + seconds + " " + ways +
              after);
    ASSERT_TRUE(Sees("/tmp/out", "waiting")) << ReadInPod("/tmp/out");
  }
  void ExpectEnd() {
    EXPECT_TRUE(Sees("/tmp/out", "end"));
    const std::string out = ReadInPod("/tmp/out");
    EXPECT_THAT(out, Not(HasSubstr("WRONG")));
    EXPECT_THAT(out, HasSubstr("end, 0 wrong")) << out;
  }
  void SaveAndResume() {
    const auto frozen = Save();
    ASSERT_TRUE(frozen) << frozen.error().message();
    ASSERT_TRUE((*frozen)->Resume());
  }
};

TEST_F(PreloadTest, WaitsLastAsLongAsTheyWereAskedTo) {
  StartWaits("4", std::string(kContinued) + " " + kBegunAgain);
  for (int i = 0; i < 3; ++i) SaveAndResume();
  EXPECT_THAT(ReadInPod("/tmp/out"), Not(HasSubstr("process")));
  ExpectEnd();
}

TEST_F(PreloadTest, WaitsContinueHoweverOftenTheyAreSaved) {
  StartWaits("3", kContinued);
  // Any that began again at each would still wait after all of them.
  int saves = 0;
  while (ReadInPod("/tmp/out").find("end") == std::string::npos && ++saves < 200) {
    const auto frozen = Save();
    if (ReadInPod("/tmp/out").find("end") != std::string::npos) break;  // perhaps nothing to save
    ASSERT_TRUE(frozen) << frozen.error().message();
    ASSERT_TRUE((*frozen)->Resume());
  }
  EXPECT_GT(saves, 2);
  ExpectEnd();
}

TEST_F(PreloadTest, WaitsLastWhenTheSaveFails) {
  StartWaits("2", std::string(kContinued) + " " + kBegunAgain);
  FakeWriter writer(checkpoint_);
  writer.FailPuts();
  ASSERT_FALSE(FrozenPod::Save(*pod_, writer, Saving(), Events()));
  ExpectEnd();
}

TEST_F(PreloadTest, WaitsLastWhenCriuRefuses) {
  StartWaits("2", std::string(kContinued) + " " + kBegunAgain,
             "python3 -c 'import ctypes, time; libc = ctypes.CDLL(None); "
             "print(\"userfaultfd\", libc.syscall(323, 1), flush=True); "
             "time.sleep(1000)' & until grep -q userfaultfd /tmp/out; do sleep 0.02; done; ");
  if (ReadInPod("/tmp/out").find("userfaultfd -1") != std::string::npos)
    GTEST_SKIP() << "this kernel has no userfaultfd";
  ASSERT_FALSE(Save());
  ExpectEnd();
}

TEST_F(PreloadTest, WaitsLastWhenCriuIsKilled) {
  StartWaits("2", std::string(kContinued) + " " + kBegunAgain);
  const auto frozen = Save();
  ASSERT_TRUE(frozen) << frozen.error().message();
  ASSERT_EQ(KillCriu(), 1);
  ExpectEnd();
}

TEST_F(PreloadTest, A32BitProgramWaits) {
  MakePod();
  StartRoot(std::string("echo begin; ") + HOLDFAST_TEST_WAITER32 + "; echo \"end $?\"; sleep 1000");
  ASSERT_TRUE(Sees("/tmp/out", "begin"));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  for (int i = 0; i < 2; ++i) {
    const auto frozen = Save();
    if (!frozen && frozen.error().message().find("compat") != std::string::npos)
      GTEST_SKIP() << frozen.error().message();
    ASSERT_TRUE(frozen) << frozen.error().message();
    ASSERT_TRUE((*frozen)->Resume());
  }
  EXPECT_TRUE(Sees("/tmp/out", "end"));
  EXPECT_THAT(ReadInPod("/tmp/out"), HasSubstr("end 0"));
}

TEST_F(PreloadTest, AProcessThatIsStoppedGoesOnWaiting) {
  StartWaits("2", kContinued, "", "& read -r _ </tmp/go");
  const auto signal = [&](int number) {
    const auto pids = ListDirectory(pod_->proc_path());
    ASSERT_TRUE(pids);
    for (const std::string& pid : *pids) {
      const auto name = ReadFile(pod_->proc_path() + "/" + pid + "/comm");
      if (!name || *name != "holdfast-waiter\n") continue;
      ASSERT_EQ(::kill(*pod_->OuterPid(std::atoi(pid.c_str())), number), 0);
    }
  };
  signal(SIGSTOP);
  for (int i = 0; i < 2; ++i) SaveAndResume();
  signal(SIGCONT);
  SaveAndResume();
  ExpectEnd();
}

// The signal comes while the process is frozen, and must end the wait.
TEST_F(PreloadTest, AHandlerStillEndsAWait) {
  StartWaits("2", "alarm-pause alarm-poll alarm-epoll_wait");
  const auto frozen = Save();
  ASSERT_TRUE(frozen) << frozen.error().message();
  std::this_thread::sleep_for(std::chrono::seconds(3));
  EXPECT_THAT(ReadInPod("/tmp/out"), Not(HasSubstr("process")));
  ASSERT_TRUE((*frozen)->Resume());
  ExpectEnd();
}

TEST_F(PreloadTest, WaitsAreBegunAgainAfterAMove) {
  StartWaits("2", std::string(kContinued) + " " + kBegunAgain);
  SaveAndResume();
  Move();
  ExpectEnd();
}

}  // namespace
}  // namespace holdfast::warden
