#include "warden/isolation/pod_processes.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/files.h"

namespace holdfast::warden {
namespace {

using ::testing::Contains;

TEST(InnermostPid, IsTheLastOfTheLine) {
  EXPECT_EQ(InnermostPid("Name:\tsleep\nNSpid:\t4711\t1000\nNSpgid:\t4711\t1000\n"), 1000);
  EXPECT_EQ(InnermostPid("Name:\tsleep\nNSpid:\t4711\n"), 4711);
  EXPECT_EQ(InnermostPid("Name:\tsleep\nPid:\t4711\n"), std::nullopt);
}

TEST(InnermostPid, AProcessThatCallsItselfSoDeceivesNobody) {
  EXPECT_EQ(InnermostPid("Name:\tNSpid:x\nPid:\t7\nNSpid:\t7\t5\n"), 5);
  EXPECT_EQ(InnermostPid("Name:\tNSpid:\t9\nPid:\t7\n"), std::nullopt);
}

TEST(NameOfProcess, EndsNoLineAndMovesNoCursor) {
  char before[16] = "";
  ASSERT_EQ(::prctl(PR_GET_NAME, before), 0);
  ASSERT_EQ(::prctl(PR_SET_NAME, "a\n\x1b[2Jb"), 0);
  EXPECT_EQ(NameOfProcess("/proc/self"), "a\\n\\x1b[2Jb");
  EXPECT_EQ(NameOfProcess("/proc/0"), "?");
  ::prctl(PR_SET_NAME, before);
}

TEST(ProcessesIn, FindsThisOneInItsNamespace) {
  const auto own = OpenFile("/proc/self/ns/pid", O_RDONLY);
  ASSERT_TRUE(own);
  const auto processes = ProcessesIn(*own);
  ASSERT_TRUE(processes) << processes.error().message();
  EXPECT_THAT(*processes, Contains(std::to_string(::getpid())));
}

}  // namespace
}  // namespace holdfast::warden
