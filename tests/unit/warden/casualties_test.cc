#include "warden/criu/casualties.h"

#include "criu_fixture.h"

namespace holdfast::warden {
namespace {

using ::testing::HasSubstr;

class CasualtiesTest : public CriuTest {
 protected:
  // Watches a pod whose child says something, does `last` when it is told to go on, and has ended.
  Casualties WatchOneThat(const std::string& last) {
    MakePod();
    StartRoot("mkfifo go; bash -c 'echo here; read <go; " + last + "'; echo over; exec sleep 1000");
    EXPECT_TRUE(Sees("/tmp/out", "here"));
    auto casualties = Casualties::Watch(*pod_);
    EXPECT_TRUE(casualties) << casualties.error().message();
    WriteInPod("/tmp/go", "\n");
    EXPECT_TRUE(Sees("/tmp/out", "over"));
    return *std::move(casualties);
  }
  // Kills CRIU so long after a save has begun, or as soon as it is there; what is known afterwards.
  Status KillCriuInASave(std::chrono::milliseconds delay) {
    const auto casualties = Casualties::Watch(*pod_);
    if (!casualties) {
      ADD_FAILURE() << casualties.error().message();
      return {};
    }
    std::thread killer([&] {
      for (int i = 0; i < 500 && KillCriu() == 0; ++i)
        std::this_thread::sleep_for(i == 0 ? delay : std::chrono::milliseconds(1));
    });
    const auto frozen = Save();
    killer.join();
    return casualties->Check();
  }
};

TEST_F(CasualtiesTest, AProcessThatRanIntoABreakpointIsOne) {
  const Casualties casualties = WatchOneThat("kill -TRAP $$");
  const Status intact = casualties.Check();
  ASSERT_FALSE(intact);
  EXPECT_EQ(intact.error().code(), Code::kUnavailable);
  EXPECT_THAT(intact.error().message(), HasSubstr("when CRIU, which was saving it, was killed"));
}

TEST_F(CasualtiesTest, OneThatEndedByItselfIsNone) {
  const Casualties casualties = WatchOneThat("exit 3");
  if (const Status intact = casualties.Check(); !intact) {
    EXPECT_THAT(intact.error().message(), HasSubstr("ended")) << "a kernel of before 6.15";
  }
}

// As it would have one that CRIU had it make; one of its own it has told what it wants at once.
TEST_F(CasualtiesTest, SoIsOneThatKeptADescriptor) {
  const std::string make =
      "exec python3 -c \"import ctypes, fcntl, os, struct, time\n"
      "fd = ctypes.CDLL(None).syscall(323, os.O_CLOEXEC | os.O_NONBLOCK | 1)\n";
  const std::string stay =
      "print('\\''over'\\'', flush=True)\n"
      "time.sleep(1000)\"";
  EXPECT_TRUE(WatchOneThat(make +
                           "fcntl.ioctl(fd, 0xc018aa3f, struct.pack('\\''3Q'\\'', 170, 0, 0))\n" +
                           stay)
                  .Check());
  const Status intact = WatchOneThat(make + stay).Check();
  ASSERT_FALSE(intact);
  EXPECT_THAT(intact.error().message(), HasSubstr("kept a descriptor of CRIU's"));
}

// At whatever moment CRIU is killed, either the processes go on, or it is known that they do not.
TEST_F(CasualtiesTest, IfCriuIsKilledAtAnyMoment) {
  constexpr int kProcesses = 12;
  int noticed = 0;
  for (int delay_ms = 5; delay_ms < 100; delay_ms += 5) {
    MakePod();
    StartRoot("for i in {1.." + std::to_string(kProcesses) +
              "}; do bash -c 'while :; do sleep 0.05; done' & done; echo here; exec sleep 1000");
    ASSERT_TRUE(Sees("/tmp/out", "here"));
    const Status intact = KillCriuInASave(std::chrono::milliseconds(delay_ms));
    noticed += intact ? 0 : 1;
    const auto processes = ListDirectory(pod_->proc_path());
    ASSERT_TRUE(processes);
    int shells = 0;
    for (const std::string& pid : *processes)
      shells += ReadFile(pod_->proc_path() + "/" + pid + "/comm").value_or("") == "bash\n";
    EXPECT_TRUE(!intact || shells >= kProcesses)
        << delay_ms << " ms: " << shells << " shells are left, and nobody noticed";
  }
  RecordProperty("noticed", noticed);
}

// Nor does a program get an error from a connection without that being known.
TEST_F(CasualtiesTest, AndSoIfTheyTalkByTcp) {
  int noticed = 0;
  for (int delay_ms = 40; delay_ms < 200; delay_ms += 8) {
    MakePod();
    StartRoot(
        "exec python3 - <<END\n"
        "import socket\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "pairs = []\n"
        "for i in range(60):\n"
        "    caller = socket.create_connection(listener.getsockname())\n"
        "    pairs.append((caller, listener.accept()[0]))\n"
        "print('here', flush=True)\n"
        "while True:\n"
        "    for a, b in pairs:\n"
        "        try:\n"
        "            a.sendall(b'x'); assert b.recv(1) == b'x'\n"
        "        except OSError as error: print('hurt:', error, flush=True); a.close()\n"
        "END");
    ASSERT_TRUE(Sees("/tmp/out", "here"));
    const Status intact = KillCriuInASave(std::chrono::milliseconds(delay_ms));
    noticed += intact ? 0 : 1;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_TRUE(!intact || ReadInPod("/tmp/out").find("hurt") == std::string::npos)
        << delay_ms << " ms: an error was met, and nobody noticed";
  }
  RecordProperty("noticed", noticed);
}

}  // namespace
}  // namespace holdfast::warden
