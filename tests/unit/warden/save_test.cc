// Freezes real processes: needs root and CRIU.
#include "warden/checkpoint/save.h"

#include "criu_fixture.h"
#include "warden/criu/images.h"

namespace holdfast::warden {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;

class SaveTest : public CriuTest {
 protected:
  // A tree that counts into /tmp/count for as long as it runs.
  void StartCounter(const std::string& before = "") {
    MakePod();
    StartRoot(before + "\ni=0; while sleep 0.02; do i=$((i+1)); echo $i > /tmp/count; done");
    ASSERT_TRUE(Sees("/tmp/count", "1"));
  }
  int Count() { return std::atoi(ReadInPod("/tmp/count").c_str()); }
  bool Counts() {
    const int before = Count();
    for (int i = 0; i < 250; ++i) {
      if (Count() > before + 3) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }
};

TEST_F(SaveTest, FreezesUntilResumed) {
  StartCounter();
  const auto frozen = Save();
  ASSERT_TRUE(frozen) << frozen.error().message();
  const int count = Count();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(Count(), count);
  const Status resumed = (*frozen)->Resume();
  ASSERT_TRUE(resumed) << resumed.error().message();
  EXPECT_TRUE(Counts());
  EXPECT_THAT(events_, HasSubstr("frozen"));
  EXPECT_THAT(events_, Not(HasSubstr("plain")));
}

TEST_F(SaveTest, TellsAboutThePod) {
  StartCounter();
  ASSERT_TRUE(Save());
  EXPECT_EQ(checkpoint_.info.pod, 3u);
  EXPECT_EQ(checkpoint_.info.hostname, "pod3");
  EXPECT_EQ(checkpoint_.info.owner, pod_->options().owner);
  EXPECT_EQ(checkpoint_.info.root_pid, static_cast<uint32_t>(pod_->root_pid()));
  EXPECT_GE(checkpoint_.info.processes, 1u) << "the counter, and mostly its sleep";
  EXPECT_THAT(checkpoint_.info.attributes, Contains(Key("cpu_flags")));
  EXPECT_THAT(checkpoint_.images, Contains(Key("pstree.img")));
  EXPECT_THAT(checkpoint_.images, Contains(Key("scratch.table")));
}

TEST_F(SaveTest, ProcessesGoOnWhenItIsDestroyed) {
  StartCounter();
  ASSERT_TRUE(Save());
  EXPECT_TRUE(Counts());
}

TEST_F(SaveTest, CanBeRepeated) {
  StartCounter();
  for (int i = 0; i < 3; ++i) {
    const auto frozen = Save();
    ASSERT_TRUE(frozen) << frozen.error().message();
    ASSERT_TRUE((*frozen)->Resume());
    ASSERT_TRUE(Counts());
  }
}

TEST_F(SaveTest, ProcessesGoOnWhenTheStoreIsFull) {
  StartCounter();
  FakeWriter writer(checkpoint_);
  writer.FailPuts();
  const auto frozen = FrozenPod::Save(*pod_, writer, Saving(), Events());
  ASSERT_FALSE(frozen);
  EXPECT_EQ(frozen.error().code(), Code::kNoSpace);
  EXPECT_THAT(frozen.error().message(), HasSubstr("saving pod 3"));
  EXPECT_TRUE(Counts());
}

TEST_F(SaveTest, ProcessesGoOnWhenCriuIsKilled) {
  StartCounter();
  const auto frozen = Save();
  ASSERT_TRUE(frozen) << frozen.error().message();
  EXPECT_TRUE((*frozen)->StillFrozen());
  EXPECT_EQ(KillCriu(), 1);
  EXPECT_TRUE(Counts());
  EXPECT_FALSE((*frozen)->StillFrozen());
  EXPECT_FALSE((*frozen)->Resume());
}

TEST_F(SaveTest, IsNotSavedWhenCriuIsKilledMeanwhile) {
  StartCounter();
  int killed = 0;
  FakeWriter writer(checkpoint_);
  const auto frozen =
      FrozenPod::Save(*pod_, writer, Saving(),
                      [&](const std::string& name, std::chrono::nanoseconds, const std::string&) {
                        if (name == "frozen") killed = KillCriu();
                      });
  EXPECT_EQ(killed, 1);
  ASSERT_FALSE(frozen);
  EXPECT_EQ(frozen.error().code(), Code::kUnavailable);
  EXPECT_THAT(frozen.error().message(), HasSubstr("CRIU was killed"));
  EXPECT_TRUE(Counts());
}

TEST_F(SaveTest, RefusesUserfaultfdInCriusWordsAndLeavesItRunning) {
  StartCounter(R"(python3 -c '
import ctypes, time
libc = ctypes.CDLL(None)
print("userfaultfd", libc.syscall(323, 1), flush=True)  # UFFD_USER_MODE_ONLY
time.sleep(1000)' &
until grep -q userfaultfd /tmp/out; do sleep 0.02; done)");
  if (ReadInPod("/tmp/out").find("userfaultfd -1") != std::string::npos)
    GTEST_SKIP() << "this kernel has no userfaultfd";
  const auto frozen = Save();
  ASSERT_FALSE(frozen);
  EXPECT_EQ(frozen.error().code(), Code::kUnsupported);
  EXPECT_THAT(frozen.error().message(), HasSubstr("criu: Error ("));
  EXPECT_THAT(frozen.error().message(), HasSubstr("(python3) uses userfaultfd(2)"));
  EXPECT_TRUE(Counts());
}

// A file of which the name it was opened by is gone, and another one is there.
std::string Renamed(const std::string& directory, const std::string& other) {
  return "cd " + directory + "; mkdir -p sub; exec 5>gone; ln gone " + other +
         "; rm gone; ls -R >/tmp/names";
}

TEST_F(SaveTest, PutsNoNamesIntoDirectories) {
  StartCounter(Renamed(user_directory(), "other"));
  const auto names = ListDirectory(user_directory());
  const auto frozen = Save();
  ASSERT_TRUE(frozen) << frozen.error().message();
  EXPECT_EQ(ListDirectory(user_directory()).value(), names.value());
  EXPECT_EQ(KillCriu(), 1);
  EXPECT_TRUE(Counts());
  EXPECT_EQ(ListDirectory(user_directory()).value(), names.value());
  EXPECT_THAT(checkpoint_.images.at("files.img"), HasSubstr(user_directory() + "/other"));
  EXPECT_THAT(checkpoint_.images.at("files.img"), Not(HasSubstr("link_remap")));
}

TEST_F(SaveTest, RefusesAFileWhoseOtherNameCannotBeFound) {
  StartCounter(Renamed(user_directory(), "sub/other"));
  const auto frozen = Save();
  ASSERT_FALSE(frozen);
  EXPECT_EQ(frozen.error().code(), Code::kUnsupported);
  EXPECT_THAT(frozen.error().message(),
              HasSubstr(user_directory() + "/gone open, which has been "));
  EXPECT_TRUE(Counts());
  EXPECT_EQ(ListDirectory(user_directory()).value(), std::vector<std::string>{"sub"});
}

TEST_F(SaveTest, RefusesWhatIsOpenInADirectoryOfTheNode) {
  StartCounter("cd " + user_directory());
  SaveOptions options = Saving();
  options.local_directories = {user_directory().substr(0, user_directory().size() - 1),
                               user_directory()};
  FakeWriter writer(checkpoint_);
  const auto frozen = FrozenPod::Save(*pod_, writer, options, Events());
  ASSERT_FALSE(frozen);
  EXPECT_EQ(frozen.error().code(), Code::kUnsupported);
  EXPECT_THAT(frozen.error().message(), HasSubstr("the job has " + user_directory() + " open"));
  EXPECT_TRUE(Counts());
  options.local_directories = {user_directory() + "/sub"};
  FakeWriter again(checkpoint_);
  const auto saved = FrozenPod::Save(*pod_, again, options, Events());
  EXPECT_TRUE(saved) << saved.error().message();
}

TEST_F(SaveTest, FallsBackToAPlainDumpAndSaysSo) {
  const std::string program = directory_ + "/criu-without-lazy-pages";
  ASSERT_TRUE(WriteFile(program,
                        "#!/bin/bash -p\ncase \"$*\" in *--ps-socket*)\n"
                        "echo 'Error (criu/uffd.c:1): Lazy pages are not available' >&2; exit 1\n"
                        "esac\nexec criu \"$@\"\n",
                        0755));
  StartCounter();
  SaveOptions options = Saving();
  options.criu = program;
  FakeWriter writer(checkpoint_);
  const auto frozen = FrozenPod::Save(*pod_, writer, options, Events());
  ASSERT_TRUE(frozen) << frozen.error().message();
  EXPECT_THAT(events_, HasSubstr("plain-dump"));
  EXPECT_THAT(events_, HasSubstr("Lazy pages are not available"));
  const int count = Count();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(Count(), count);
  ASSERT_TRUE((*frozen)->Resume());
  EXPECT_TRUE(Counts());
  MakePod();
  const auto held = Restore();
  ASSERT_TRUE(held) << held.error().message();
  ASSERT_TRUE((*held)->Resume());
  EXPECT_TRUE(Counts());
}

TEST_F(SaveTest, SaysThatCriuIsMissingOrNotCriu) {
  const auto missing = FindCriu("/nonexistent/criu");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  const auto other = FindCriu("/bin/true");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code(), Code::kUnsupported);
}

TEST_F(SaveTest, SaysThatCriuIsTooOld) {
  const std::string program = directory_ + "/old-criu";
  ASSERT_TRUE(WriteFile(program, "#!/bin/sh\necho 'Version: 4.1.1'\n", 0755));
  const auto old = FindCriu(program);
  ASSERT_FALSE(old);
  EXPECT_EQ(old.error().code(), Code::kUnsupported);
  EXPECT_THAT(old.error().message(), HasSubstr("4.1.1"));
  EXPECT_THAT(old.error().message(), HasSubstr("4.2"));
}

TEST_F(SaveTest, RefusesACriuThatCannotLoadTheLibrary) {
  StartCounter();
  SaveOptions options = Saving();
  options.criu_preload = "/nonexistent/holdfast-criu.so";
  FakeWriter writer(checkpoint_);
  const auto frozen = FrozenPod::Save(*pod_, writer, options, Events());
  ASSERT_FALSE(frozen);
  EXPECT_EQ(frozen.error().code(), Code::kUnsupported);
  EXPECT_THAT(frozen.error().message(), HasSubstr("has not loaded /nonexistent/holdfast-criu.so"));
  EXPECT_TRUE(Counts());
}

// A client has connected, and the server accepts once there is /tmp/accept.
constexpr const char* kServer = R"py(exec python3 -c "
import os, socket, time
listener = socket.socket()
listener.bind(('127.0.0.1', 4321))
listener.listen()
client = socket.create_connection(('127.0.0.1', 4321))
print('connected', flush=True)
while not os.path.exists('/tmp/accept'): time.sleep(0.01)
listener.accept()[0].sendall(b'hello')
print(client.recv(5), flush=True)
time.sleep(60)")py";

TEST_F(SaveTest, NamesWhoDoesNotAccept) {
  MakePod();
  StartRoot(kServer);
  ASSERT_TRUE(Sees("/tmp/out", "connected"));
  const auto frozen = Save();
  ASSERT_FALSE(frozen);
  EXPECT_THAT(frozen.error().message(), HasSubstr("(python3) has not accepted 1 connection at "
                                                  "127.0.0.1:4321"));
}

TEST_F(SaveTest, WaitsForConnectionsToBeAccepted) {
  MakePod();
  StartRoot(kServer);
  ASSERT_TRUE(Sees("/tmp/out", "connected"));
  std::jthread accepting([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    const auto root = OpenPodRoot(*pod_);
    ASSERT_TRUE(root);
    const ScopedIdentity as_owner(owner_);
    ASSERT_TRUE(OpenInPod(*root, "/tmp/accept", O_WRONLY | O_CREAT));
  });
  SaveOptions options = Saving();
  options.accepts_until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  checkpoint_ = {};
  FakeWriter writer(checkpoint_);
  const auto frozen = FrozenPod::Save(*pod_, writer, options, Events());
  ASSERT_TRUE(frozen) << frozen.error().message();
  ASSERT_TRUE((*frozen)->Resume());
  EXPECT_TRUE(Sees("/tmp/out", "hello"));
}

TEST_F(SaveTest, RecordsFilesOpenForWriting) {
  StartCounter("exec 5>>" + user_directory() + "/output 6<>" + user_directory() +
               "/data 7</etc/passwd 8>/tmp/private; echo 12345 >&5");
  SaveOptions options = Saving();
  options.output_paths = {user_directory() + "/output"};
  FakeWriter writer(checkpoint_);
  ASSERT_TRUE(FrozenPod::Save(*pod_, writer, options, Events()));
  ASSERT_EQ(checkpoint_.files.size(), 2u);
  EXPECT_EQ(checkpoint_.files[0].path, user_directory() + "/data");
  EXPECT_FALSE(checkpoint_.files[0].append);
  EXPECT_FALSE(checkpoint_.files[0].job_output);
  EXPECT_EQ(checkpoint_.files[1].path, user_directory() + "/output");
  EXPECT_EQ(checkpoint_.files[1].size_bytes, 6u);
  EXPECT_TRUE(checkpoint_.files[1].append);
  EXPECT_TRUE(checkpoint_.files[1].job_output);
  EXPECT_GT(checkpoint_.files[1].mtime_ns, 0);
  EXPECT_GT(checkpoint_.files[1].inode, 0u);
}

}  // namespace
}  // namespace holdfast::warden
