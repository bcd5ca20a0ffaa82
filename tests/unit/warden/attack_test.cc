// A user who owns the directories between a save and its restore: whatever is put where CRIU will
// look, nothing is reached with more than the user's rights. Needs root and CRIU.
#include <sys/socket.h>
#include <sys/un.h>

#include "criu_fixture.h"

namespace holdfast::warden {
namespace {

using ::testing::HasSubstr;

class AttackTest : public CriuTest {
 protected:
  void SetUp() override {
    CriuTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(MakeDirectories(roots(), 0755));
    ASSERT_TRUE(MakeDirectories(roots() + "/closed", 0700));
    ASSERT_TRUE(WriteFile(roots() + "/key", kSecret, 0600));
    ASSERT_TRUE(WriteFile(roots() + "/config", kSecret, 0644));
  }

  // A job in the user's directory that runs the commands, then says "ready" and waits; saved,
  // killed.
  void SaveJob(const std::string& commands) {
    MakePod();
    StartRoot("cd " + user_directory() + "; " + commands +
              "\necho ready > /tmp/ready; while sleep 0.02; do :; done");
    ASSERT_TRUE(Sees("/tmp/ready", "ready")) << ReadInPod("/tmp/out");
    const auto frozen = Save();
    ASSERT_TRUE(frozen) << frozen.error().message();
    ASSERT_TRUE(pod_->Kill());
    MakePod();
  }

  void AsUser(const std::string& command) {
    SpawnOptions options{.argv = {"/bin/sh", "-ec", command}, .cwd = user_directory()};
    options.identity = Identity{.uid = kUser, .gid = kUser, .groups = {kUser}};
    const auto output = RunCommand(options, std::chrono::seconds(10));
    ASSERT_TRUE(output);
    ASSERT_TRUE(output->status.ok()) << output->output;
  }

  void ExpectRefused() {
    const auto held = Restore();
    ASSERT_FALSE(held);
    EXPECT_EQ(ReadFile(roots() + "/key").value_or(""), kSecret);
    EXPECT_EQ(ReadFile(roots() + "/config").value_or(""), kSecret);
    EXPECT_THAT(ListDirectory(roots() + "/closed").value_or(std::vector<std::string>{"?"}),
                ::testing::IsEmpty());
  }

  std::string roots() const { return directory_ + "/roots"; }
  static constexpr const char* kSecret = "0123456789abcdef\n";
};

TEST_F(AttackTest, AFileOpenForReadingBecomesALinkToAKey) {
  SaveJob("echo 0123456789abcdef > file; exec 5<file");
  AsUser("ln -sf " + roots() + "/key file");
  ExpectRefused();
}

TEST_F(AttackTest, AFileOpenForWritingBecomesALinkToAFileOfRoots) {
  rollback_ = RollbackPolicy::kOff;
  SaveJob("echo 0123456789abcdef > file; exec 5<>file");
  AsUser("ln -sf " + roots() + "/config file");
  ExpectRefused();
}

TEST_F(AttackTest, AFileBecomesALinkToAnotherThatTheUserMayOpen) {
  SaveJob("echo 0123456789abcdef > file; exec 5<file");
  AsUser("ln -sf " + roots() + "/config file");
  const auto held = Restore();
  ASSERT_FALSE(held);
  EXPECT_EQ(held.error().code(), Code::kChanged);
  EXPECT_THAT(held.error().message(), HasSubstr("/user/file open here"));
  EXPECT_THAT(held.error().message(), HasSubstr("/roots/config now"));
}

TEST_F(AttackTest, AMappedFileBecomesALink) {
  SaveJob(
      "head -c 8192 /dev/zero > data; python3 -c '\nimport mmap, time\n"
      "f = open(\"data\", \"r\")\n"
      "m = mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ); f.close()\n"
      "open(\"/tmp/mapped\", \"w\").write(\"mapped\")\ntime.sleep(1000)' &\n"
      "until [ -e /tmp/mapped ]; do sleep 0.02; done");
  ASSERT_TRUE(WriteFile(roots() + "/key", std::string(8192, 'k'), 0600));
  AsUser("mv data elsewhere; ln -s " + roots() + "/key data");
  EXPECT_FALSE(Restore());
}

TEST_F(AttackTest, TheWorkingDirectoryBecomesALink) {
  SaveJob("mkdir work; cd work");
  AsUser("mv work elsewhere; ln -s " + roots() + "/closed work");
  ExpectRefused();
}

TEST_F(AttackTest, TheWorkingDirectoryBecomesALinkToWhereTheUserMayBe) {
  SaveJob("mkdir work; cd work");
  AsUser("mv work elsewhere; ln -s " + roots() + " work");
  const auto held = Restore();
  ASSERT_FALSE(held);
  EXPECT_EQ(held.error().code(), Code::kChanged);
  EXPECT_THAT(held.error().message(), HasSubstr("cwd"));
}

TEST_F(AttackTest, AnOpenDirectoryBecomesALink) {
  SaveJob("mkdir work; exec 5<work");
  AsUser("mv work elsewhere; ln -s " + roots() + "/closed work");
  ExpectRefused();
}

TEST_F(AttackTest, AFifoBecomesALink) {
  SaveJob("mkfifo pipe; exec 5<>pipe");
  AsUser("rm pipe; ln -s " + roots() + "/config pipe");
  ExpectRefused();
}

TEST_F(AttackTest, ADeletedFileIsNotMadeInADirectoryOfRoots) {
  SaveJob("mkdir work; echo text > work/gone; exec 5<>work/gone; rm work/gone");
  AsUser("rmdir work; ln -s " + roots() + "/closed work");
  ExpectRefused();
}

TEST_F(AttackTest, ASocketOfRootsIsNotReplaced) {
  const int root_socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const UniqueFd daemon(root_socket);
  ASSERT_TRUE(MakeDirectories(roots() + "/run", 0755));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const std::string path = roots() + "/run/daemon";
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ASSERT_EQ(::bind(daemon.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  struct stat before = {}, after = {};
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  SaveJob(
      "mkdir work; python3 -c '\nimport socket, time\ns = socket.socket(socket.AF_UNIX)\n"
      "s.bind(\"" +
      user_directory() +
      "/work/daemon\"); s.listen()\n"
      "open(\"/tmp/bound\", \"w\").write(\"bound\")\ntime.sleep(1000)' &\n"
      "until [ -e /tmp/bound ]; do sleep 0.02; done");
  AsUser("rm -r work; ln -s " + roots() + "/run work");
  ExpectRefused();
  ASSERT_EQ(::stat(path.c_str(), &after), 0);
  EXPECT_EQ(after.st_ino, before.st_ino);
  EXPECT_EQ(after.st_uid, 0u);
}

// Swapping while CRIU is at work: a check before it cannot help.
TEST_F(AttackTest, SwappingAgainAndAgainMeanwhile) {
  SaveJob("echo 0123456789abcdef > file; exec 5<file");
  SpawnOptions options{.argv = {"/bin/sh", "-c",
                                "while :; do ln -s " + roots() +
                                    "/key link; mv link file; echo 0123456789abcdef > plain; "
                                    "mv plain file; done"},
                       .cwd = user_directory()};
  options.identity = Identity{.uid = kUser, .gid = kUser, .groups = {kUser}};
  const auto swapper = Process::Spawn(options);
  ASSERT_TRUE(swapper);
  for (int i = 0; i < 20; ++i) {
    MakePod();
    const auto held = Restore();
    if (!held) continue;
    // A file of the user's, under the name it had.
    const auto link =
        ReadLink(pod_->proc_path() + "/" + std::to_string(checkpoint_.info.root_pid) + "/fd/5");
    ASSERT_TRUE(link);
    EXPECT_THAT(*link, HasSubstr("/user/file"));
  }
}

TEST_F(AttackTest, GroupsMayHaveComeSinceAndInAnotherOrder) {
  owner_.groups = {kUser, 70001, 70002};
  SaveJob("true");
  owner_.groups = {70003, 70002, 70001, kUser};
  MakePod();
  const auto held = Restore();
  ASSERT_TRUE(held) << held.error().message();
  ASSERT_TRUE((*held)->Resume());
  EXPECT_THAT(
      ReadFile(pod_->proc_path() + "/" + std::to_string(pod_->root_pid()) + "/status").value_or(""),
      HasSubstr("Groups:\t54321 70001 70002"));
}

TEST_F(AttackTest, AGroupThatTheUserHasLostIsRefusedByName) {
  owner_.groups = {kUser, 70001};
  SaveJob("true");
  owner_.groups = {kUser};
  MakePod();
  const auto held = Restore();
  ASSERT_FALSE(held);
  EXPECT_EQ(held.error().code(), Code::kDenied);
  EXPECT_THAT(held.error().message(), HasSubstr("group 70001"));
}

// What a restore would refuse is refused at the save.
TEST_F(AttackTest, AnotherUsersFileInThePrivateDirectoryIsRefusedAtTheSave) {
  MakePod();
  StartRoot("echo ready > /tmp/ready; sleep 1000");
  ASSERT_TRUE(Sees("/tmp/ready", "ready"));
  const auto root = OpenPodRoot(*pod_);
  const auto tmp = OpenInPod(*root, "/tmp", O_PATH | O_DIRECTORY);
  ASSERT_TRUE(OpenAt(*tmp, "foreign", O_WRONLY | O_CREAT));
  const auto frozen = Save();
  ASSERT_FALSE(frozen);
  EXPECT_EQ(frozen.error().code(), Code::kDenied);
  EXPECT_THAT(frozen.error().message(), HasSubstr("/tmp/foreign belongs to 0:0"));
}

TEST_F(AttackTest, AFileThatTheUserCouldNotOpenAgainIsRefusedAtTheSave) {
  MakePod();
  StartRoot("umask 0; echo text > " + user_directory() + "/file; exec 5<>" + user_directory() +
            "/file; chmod 0444 " + user_directory() + "/file; echo ready > /tmp/ready; sleep 1000");
  ASSERT_TRUE(Sees("/tmp/ready", "ready"));
  const auto frozen = Save();
  ASSERT_FALSE(frozen);
  EXPECT_EQ(frozen.error().code(), Code::kUnsupported);
  EXPECT_THAT(frozen.error().message(), HasSubstr("/user/file open"));
}

TEST_F(AttackTest, ASetIdProgramIsRefusedAtTheSaveByName) {
  const std::string program = directory_ + "/set-id";
  ASSERT_TRUE(RunCommand({.argv = {"/bin/cp", "/bin/sleep", program}}, std::chrono::seconds(10)));
  ASSERT_EQ(::chmod(program.c_str(), 04755), 0);
  MakePod();
  StartRoot(program + " 1000 & sleep 0.3; echo ready > /tmp/ready; sleep 1000");
  ASSERT_TRUE(Sees("/tmp/ready", "ready"));
  const auto frozen = Save();
  ASSERT_FALSE(frozen);
  EXPECT_THAT(frozen.error().message(), HasSubstr("(set-id) runs as user 0"));
}

TEST_F(AttackTest, AProgramThatMayNotBeReadIsRefusedAtTheSaveByName) {
  const std::string program = directory_ + "/closed";
  ASSERT_TRUE(RunCommand({.argv = {"/bin/cp", "/bin/sleep", program}}, std::chrono::seconds(10)));
  ASSERT_EQ(::chmod(program.c_str(), 0711), 0);
  MakePod();
  StartRoot(program + " 1000 & sleep 0.3; echo ready > /tmp/ready; sleep 1000");
  ASSERT_TRUE(Sees("/tmp/ready", "ready"));
  const auto frozen = Save();
  ASSERT_FALSE(frozen);
  EXPECT_THAT(frozen.error().message(), HasSubstr("(closed) does not let itself be looked at"));
}

}  // namespace
}  // namespace holdfast::warden
