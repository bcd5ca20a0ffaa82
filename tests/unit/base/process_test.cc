#include "base/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "base/files.h"

namespace holdfast {
namespace {

using namespace std::chrono_literals;

Result<CommandOutput> Shell(const std::string& script, SpawnOptions options = {}) {
  options.argv = {"/bin/sh", "-c", script};
  return RunCommand(std::move(options), 10s);
}

TEST(Process, OutputAndExitCode) {
  const auto result = Shell("echo out; echo err >&2; exit 3");
  ASSERT_TRUE(result);
  EXPECT_EQ(result->output, "out\nerr\n");
  EXPECT_EQ(result->status.ToString(), "exit code 3");
}

TEST(Process, SignalIsTold) {
  const auto result = Shell("kill -9 $$");
  ASSERT_TRUE(result);
  EXPECT_EQ(result->status.signal, SIGKILL);
  EXPECT_FALSE(result->status.ok());
}

TEST(Process, FailureBeforeExecNamesTheStep) {
  SpawnOptions options{.argv = {"true"}};
  options.cwd = "/no/such/directory";
  const auto process = Process::Spawn(options);
  ASSERT_FALSE(process);
  EXPECT_EQ(process.error().code(), Code::kNotFound);
  EXPECT_NE(process.error().message().find("chdir"), std::string::npos);
  EXPECT_FALSE(Process::Spawn({.argv = {"no-such-program-anywhere"}}));
}

TEST(Process, OnlyNamedDescriptorsAreInherited) {
  const auto leaked = OpenFile("/dev/null", O_RDONLY);
  ASSERT_TRUE(leaked);
  ASSERT_EQ(::fcntl(leaked->get(), F_SETFD, 0), 0);  // as a careless library would leave it
  const auto given = OpenFile("/dev/zero", O_RDONLY);
  SpawnOptions options;
  options.fds = {{given->get(), 9}};
  const auto result = Shell("ls -l /proc/self/fd", options);
  ASSERT_TRUE(result);
  EXPECT_NE(result->output.find("9 -> /dev/zero"), std::string::npos) << result->output;
  EXPECT_EQ(result->output.find(std::to_string(leaked->get()) + " -> "), std::string::npos);
}

TEST(Process, EnvironmentIsExactlyWhatIsGiven) {
  SpawnOptions options;
  options.env = {"A=1"};
  const auto result = Shell("/usr/bin/env | grep -v -e PWD -e _=", options);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->output, "A=1\n");
}

TEST(Process, DestructionKillsAndReaps) {
  pid_t pid;
  {
    auto process = Process::Spawn({.argv = {"sleep", "100"}});
    ASSERT_TRUE(process);
    pid = process->pid();
    EXPECT_EQ(process->Wait(10ms).error().code(), Code::kTimeout);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST(Process, TimeoutEndsTheCommand) {
  SpawnOptions options{.argv = {"sleep", "100"}};
  const auto result = RunCommand(options, 50ms);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kTimeout);
}

TEST(Process, IdentityIsTakenWhole) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  SpawnOptions options;
  options.identity = Identity{.uid = 1234, .gid = 2345, .groups = {3456}};
  const auto result = Shell("id -u; id -ru; id -g; id -G", options);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->output, "1234\n1234\n2345\n2345 3456\n");
}

}  // namespace
}  // namespace holdfast
