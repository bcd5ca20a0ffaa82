// Real pods with real processes, for tests of saving and restoring: needs root and CRIU.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/files.h"
#include "fake_checkpoint.h"
#include "warden/checkpoint/restore.h"
#include "warden/checkpoint/save.h"
#include "warden/criu/criu.h"
#include "warden/isolation/pod.h"
#include "warden/isolation/pod_files.h"
#include "warden/isolation/private_directories.h"

namespace holdfast::warden {

class CriuTest : public ::testing::Test {
 protected:
  static constexpr uid_t kUser = 54321;

  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make namespaces";
    if (const auto criu = FindCriu("criu"); !criu) GTEST_SKIP() << criu.error().message();
    if (Root("/") != "/") GTEST_SKIP() << "CRIU needs a root directory that is a mount";
    char directory[] = "/var/tmp/holdfast-criu-test-XXXXXX";
    ASSERT_NE(::mkdtemp(directory), nullptr);
    directory_ = directory;
    ASSERT_EQ(::chmod(directory, 0711), 0);
    ASSERT_TRUE(MakeDirectories(user_directory(), 0755));
    ASSERT_EQ(::chown(user_directory().c_str(), kUser, kUser), 0);
  }

  void TearDown() override {
    if (HasFailure())
      std::cerr << events_ << ReadFile(directory_ + "/log/restore.log").value_or("");
    EndPod();
    if (!directory_.empty()) {
      EXPECT_TRUE(RemoveTree(directory_));
    }
  }

  // The mount that a path lies on.
  static std::string Root(const std::string& path) {
    const auto mounts = ReadFile("/proc/self/mountinfo");
    return mounts && mounts->find(" " + path + " ") != std::string::npos ? path : "";
  }

  std::string user_directory() const { return directory_ + "/user"; }

  void EndPod() {
    // What waits for memory must not get any other.
    if (pod_ && memory_) {
      EXPECT_TRUE(pod_->Kill());
    }
    memory_.reset();
    pod_.reset();
    private_directories_.reset();
  }

  void MakePod() {
    EndPod();
    waits_ = UniqueFd(::memfd_create("waits", MFD_CLOEXEC));
    auto directories = PrivateDirectories::Create(directory_ + "/private",
                                                  "1-" + std::to_string(pods_++), private_paths_);
    ASSERT_TRUE(directories) << directories.error().message();
    private_directories_.emplace(*std::move(directories));
    auto pod = Pod::Create({.index = 3,
                            .hostname = "pod3",
                            .owner = owner_,
                            .hosts = "127.0.0.1 localhost\n",
                            .private_directories = private_directories_->list(),
                            .init_program = HOLDFAST_TEST_POD_INIT});
    ASSERT_TRUE(pod) << pod.error().message();
    pod_ = std::move(*pod);
  }

  // Starts the command as the pod's root, with nothing inherited from the test.
  void StartRoot(const std::string& command) {
    const auto pid =
        pod_->StartRoot({"/bin/bash", "-c", "exec </dev/null >/tmp/out 2>&1\ncd /tmp\n" + command});
    ASSERT_TRUE(pid) << pid.error().message();
  }

  std::string ReadInPod(const std::string& path) {
    const auto root = OpenPodRoot(*pod_);
    if (!root) return "";
    const auto file = OpenInPod(*root, path, O_RDONLY);
    if (!file) return "";
    return ReadAll(*file).value_or("");
  }

  void WriteInPod(const std::string& path, const std::string& contents) {
    const auto root = OpenPodRoot(*pod_);
    ASSERT_TRUE(root);
    const auto file = OpenInPod(*root, path, O_WRONLY);
    ASSERT_TRUE(file) << file.error().message();
    ASSERT_TRUE(WriteFull(*file, AsBytes(contents)));
  }

  // Waits until the file in the pod has that text somewhere.
  bool Sees(const std::string& path, const std::string& text, int seconds = 20) {
    for (int i = 0; i < seconds * 50; ++i) {
      if (ReadInPod(path).find(text) != std::string::npos) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }

  // How many there were. They are gone when it returns.
  int KillCriu() {
    int killed = 0;
    const auto pids = ListDirectory(pod_->proc_path());
    if (!pids) return 0;
    for (const std::string& pid : *pids) {
      const auto name = ReadFile(pod_->proc_path() + "/" + pid + "/comm");
      if (!name || !name->starts_with("criu")) continue;
      const auto outer = pod_->OuterPid(std::atoi(pid.c_str()));
      if (!outer) continue;
      const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, *outer, 0)));
      if (::kill(*outer, SIGKILL) != 0) continue;
      pollfd polled{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
      if (::poll(&polled, 1, 10000) == 1) ++killed;
    }
    return killed;
  }

  EventSink Events() {
    return [this](const std::string& name, std::chrono::nanoseconds duration,
                  const std::string& detail) {
      const std::lock_guard lock(events_mutex_);
      events_ += name + " " +
                 std::to_string(std::chrono::duration<double>(duration).count()).substr(0, 6) +
                 " " + detail + "\n";
    };
  }

  SaveOptions Saving() {
    return {.criu = "criu",
            .criu_preload = HOLDFAST_TEST_CRIU_PRELOAD,
            .waits = &waits_,
            .log_directory = directory_ + "/log",
            .timeout = std::chrono::seconds(60)};
  }

  Result<std::unique_ptr<FrozenPod>> Save() {
    checkpoint_ = {};
    FakeWriter writer(checkpoint_);
    return FrozenPod::Save(*pod_, writer, Saving(), Events());
  }

  Result<std::unique_ptr<HeldPod>> Restore() {
    reader_.emplace(checkpoint_);
    reader_->OnRead(on_read_);
    return HeldPod::Restore(*pod_, *reader_,
                            {.criu = "criu",
                             .criu_preload = HOLDFAST_TEST_CRIU_RESTORE_PRELOAD,
                             .log_directory = directory_ + "/log",
                             .work_directory = directory_ + "/work",
                             .timeout = std::chrono::seconds(60),
                             .memory = memory_comes_,
                             .rollback = {.policy = rollback_}},
                            Events());
  }

  // Save, kill, and bring back in a new pod, up to running again.
  void Move() {
    {
      const auto frozen = Save();
      ASSERT_TRUE(frozen) << frozen.error().message();
      ASSERT_TRUE(pod_->Kill());
    }
    MakePod();
    const auto held = Restore();
    ASSERT_TRUE(held) << held.error().message();
    const Status resumed = (*held)->Resume();
    ASSERT_TRUE(resumed) << resumed.error().message();
    memory_ = (*held)->TakeMemory();
  }

  Identity owner_{.uid = kUser, .gid = kUser, .groups = {kUser}};
  std::string directory_;
  std::mutex events_mutex_;
  std::string events_;
  RollbackPolicy rollback_ = RollbackPolicy::kAuto;
  FakeCheckpoint checkpoint_;
  MemoryComes memory_comes_ = MemoryComes::kInFiles;
  FakeReader::Hook on_read_;
  std::optional<FakeReader> reader_;
  UniqueFd waits_;
  std::vector<std::string> private_paths_;  // of the pods that are made from then on
  int pods_ = 0;
  std::optional<PrivateDirectories> private_directories_;
  std::unique_ptr<Pod> pod_;
  std::unique_ptr<LazyMemory> memory_;
};

}  // namespace holdfast::warden
