// Makes real pods: needs root.
#include "warden/isolation/pod.h"

#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <span>
#include <sstream>

#include "base/files.h"

namespace holdfast::warden {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uid_t kUser = 65534;

class PodTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make namespaces";
    options_ = {.index = 3,
                .hostname = "pod3",
                .owner = {.uid = kUser, .gid = kUser, .groups = {kUser}},
                .hosts = "127.0.0.1 localhost\n198.18.0.4 pod3\n",
                .init_program = HOLDFAST_TEST_POD_INIT};
    auto pod = Pod::Create(options_);
    ASSERT_TRUE(pod) << pod.error().message();
    pod_ = std::move(*pod);
  }

  void TearDown() override {
    pod_.reset();
    if (!directory_.empty()) {
      EXPECT_TRUE(RemoveTree(directory_));
    }
  }

  // What a shell command prints in the pod, run as root.
  std::string Run(const std::string& command) {
    SpawnOptions options;
    options.argv = {"/bin/sh", "-c", command};
    pod_->Enter(options);
    const auto output = RunCommand(options, seconds(20));
    EXPECT_TRUE(output) << output.error().message();
    return output ? output->output : "";
  }

  void StartRoot(const std::string& command) {
    const auto pid = pod_->StartRoot({"/bin/sh", "-c", command});
    ASSERT_TRUE(pid) << pid.error().message();
  }

  bool Ended(int timeout_ms) {
    pollfd polled{.fd = pod_->exit_fd().get(), .events = POLLIN, .revents = 0};
    return ::poll(&polled, 1, timeout_ms) == 1;
  }

  PodOptions options_;
  std::string directory_;
  std::unique_ptr<Pod> pod_;
};

TEST_F(PodTest, HasItsOwnNameHostsAndFileSystems) {
  EXPECT_EQ(Run("hostname; stat -c %a:%u /etc/hosts; cat /etc/hosts"),
            "pod3\n644:0\n" + options_.hosts);
  EXPECT_EQ(Run("stat -c %a:%u /tmp /dev/shm /run/holdfast"), "1777:0\n1777:0\n700:65534\n");
  EXPECT_EQ(Run("ls -A /tmp /dev/shm /run/holdfast"), "/dev/shm:\n\n/run/holdfast:\n\n/tmp:\n");
  EXPECT_EQ(Run("ls /sys/class/net"), "lo\n");
  EXPECT_THAT(Run("cat /sys/class/net/lo/flags"), HasSubstr("0x9"));  // IFF_UP | IFF_LOOPBACK
  EXPECT_THAT(Run("cat /proc/1/cmdline"), HasSubstr("holdfast-pod-init"));
}

TEST_F(PodTest, HasDirectoriesOfItsOwnOnTheDisk) {
  char directory[] = "/var/tmp/holdfast-pod-test-XXXXXX";
  ASSERT_NE(::mkdtemp(directory), nullptr);
  directory_ = directory;
  const std::string place = directory_ + "/place";
  for (const char* name : {"", "/0", "/1"}) ASSERT_TRUE(MakeDirectories(place + name));
  ASSERT_TRUE(WriteFile(place + "/1/from-outside", "x"));
  // The second lies below the first.
  options_.private_directories = {{.path = directory_, .place = place + "/0"},
                                  {.path = "/tmp", .place = place + "/1"}};
  auto pod = Pod::Create(options_);
  ASSERT_TRUE(pod) << pod.error().message();
  pod_ = std::move(*pod);
  EXPECT_EQ(Run("ls -A " + directory_ + " /tmp"), "/tmp:\nfrom-outside\n\n" + directory_ + ":\n");
  EXPECT_EQ(Run("echo inside >/tmp/file; awk '$5 == \"/tmp\" { last = $6 } END { print last }' "
                "/proc/self/mountinfo | tr , '\\n' | grep ^no[sd]"),
            "nosuid\nnodev\n");
  EXPECT_EQ(ReadFile(place + "/1/file").value_or(""), "inside\n");
  EXPECT_FALSE(FileExists("/tmp/from-outside"));
}

TEST_F(PodTest, MountsMadeInsideStayInside) {
  Run("mkdir /tmp/m && mount -t tmpfs t /tmp/m && touch /tmp/m/inside");
  EXPECT_FALSE(FileExists("/tmp/m/inside"));
  EXPECT_THAT(ReadFile("/proc/self/mountinfo").value(), Not(HasSubstr("/tmp/m ")));
}

TEST_F(PodTest, StartsRootAsTheOwnerAbovePid1000InItsOwnIpcNamespace) {
  StartRoot(
      "id -u >/tmp/uid; id -G >/tmp/groups; grep Cap /proc/self/status >/tmp/caps; "
      "readlink /proc/self/ns/ipc >/tmp/ipc; sleep 100");
  EXPECT_GE(pod_->root_pid(), kFirstPid);
  ASSERT_FALSE(Ended(300));
  EXPECT_EQ(Run("cat /tmp/uid /tmp/groups"), "65534\n65534\n");
  EXPECT_THAT(Run("cat /tmp/caps"), HasSubstr("CapEff:\t0000000000000000"));
  EXPECT_NE(Run("cat /tmp/ipc"), Run("readlink /proc/self/ns/ipc"));
  EXPECT_THAT(Run("cat /proc/1/status"), HasSubstr("CapPrm:\t0000000000000000"));
}

TEST_F(PodTest, TellsHowRootEndedAndReapsOrphans) {
  StartRoot("(sleep 0.2 &) ; sleep 0.1; exit 7");
  ASSERT_TRUE(Ended(5000));
  const auto status = pod_->TakeExit();
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(status->code, 7);
  ::usleep(300'000);
  EXPECT_EQ(Run("grep -l 'State:.Z' /proc/[0-9]*/status"), "");
}

TEST_F(PodTest, SaysWhyRootCannotStart) {
  const auto pid = pod_->StartRoot({"/run/holdfast/pod-root"});
  ASSERT_FALSE(pid);
  EXPECT_THAT(pid.error().message(), HasSubstr("/run/holdfast/pod-root: exec: No such file"));
  StartRoot("exit 0");
  EXPECT_TRUE(Ended(5000));
}

TEST_F(PodTest, FindsTheNodesPidOfAPodsProcess) {
  StartRoot("exec sleep 100");
  const auto outer = pod_->OuterPid(pod_->root_pid());
  ASSERT_TRUE(outer) << outer.error().message();
  ::usleep(100'000);
  EXPECT_EQ(ReadFile("/proc/" + std::to_string(*outer) + "/comm").value(), "sleep\n");
  EXPECT_EQ(pod_->OuterPid(999).error().code(), Code::kNotFound);
}

TEST_F(PodTest, KillEndsEveryProcessAStoppedOneToo) {
  StartRoot("setsid sleep 100 & sleep 100 & kill -STOP $!; exec sleep 100");
  const pid_t outer = pod_->OuterPid(pod_->root_pid()).value();
  ASSERT_TRUE(pod_->Kill());
  EXPECT_EQ(::kill(outer, 0), -1);
  EXPECT_EQ(errno, ESRCH);
  ASSERT_TRUE(Ended(1000));
  EXPECT_TRUE(pod_->Kill());
}

TEST_F(PodTest, EndsWhenItsInitIsKilled) {
  StartRoot("sleep 100");
  EXPECT_EQ(::kill(pod_->OuterPid(1).value(), SIGKILL), 0);
  ASSERT_TRUE(Ended(5000));
  const auto status = pod_->TakeExit();
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(status->signal, SIGKILL);
}

TEST_F(PodTest, LetsGoOfWhatItHolds) {
  auto held = MakePipe();
  ASSERT_TRUE(held);
  ASSERT_TRUE(pod_->Hold(held->write_end));
  held->write_end.Reset();
  pollfd polled{.fd = held->read_end.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&polled, 1, 200), 0);
  pod_->LetGo();
  EXPECT_EQ(::poll(&polled, 1, 5000), 1);
}

// From a line of /proc/PID/stat, empty if the process is gone: it runs no more code of its own.
bool IsExiting(const std::string& stat) {
  constexpr unsigned kExiting = 0x4;  // PF_EXITING
  std::istringstream words(stat.substr(std::min(stat.size(), stat.rfind(')') + 1)));
  std::string word;
  for (int skipped = 0; skipped < 6; ++skipped) words >> word;  // state to tpgid
  unsigned flags = kExiting;
  words >> flags;
  return stat.empty() || (flags & kExiting) != 0;
}

TEST_F(PodTest, WhatItHoldsOutlivesItsProcessesWhenTheWardenDies) {
  auto held = MakePipe();
  auto told = MakePipe();
  ASSERT_TRUE(held && told);
  const pid_t warden = ::fork();
  if (warden == 0) {
    const auto pod = Pod::Create(options_);
    if (!pod || !(*pod)->StartRoot({"/bin/sleep", "100"}) || !(*pod)->Hold(held->write_end))
      ::_exit(1);
    const pid_t root = (*pod)->OuterPid((*pod)->root_pid()).value();
    if (!WriteFull(told->write_end, std::as_bytes(std::span(&root, 1)))) ::_exit(1);
    ::kill(::getpid(), SIGKILL);
  }
  held->write_end.Reset();
  told->write_end.Reset();
  pid_t root = 0;
  ASSERT_TRUE(ReadFull(told->read_end, std::as_writable_bytes(std::span(&root, 1))));
  pollfd polled{.fd = held->read_end.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&polled, 1, 10000), 1);
  // Killed, if perhaps not all of it has been cleared away yet.
  const std::string place = "/proc/" + std::to_string(root);
  const std::string status = ReadFile(place + "/status").value_or("");
  const bool told_to_die = status.find("Pnd:\t0000000000000100") != std::string::npos;
  EXPECT_TRUE(told_to_die || IsExiting(ReadFile(place + "/stat").value_or(""))) << status;
  EXPECT_EQ(::waitpid(warden, nullptr, 0), warden);
}

TEST(PodFailure, SaysWhichStepFailed) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make namespaces";
  PodOptions options{
      .hostname = std::string(100, 'x'), .hosts = "", .init_program = HOLDFAST_TEST_POD_INIT};
  const auto pod = Pod::Create(options);
  ASSERT_FALSE(pod);
  EXPECT_THAT(pod.error().message(), HasSubstr("creating pod 0: naming the pod xxx"));
}

}  // namespace
}  // namespace holdfast::warden
