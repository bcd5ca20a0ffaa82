#include "warden/isolation/limits.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/files.h"
#include "base/process.h"

namespace holdfast::warden {
namespace {

TEST(ParseLimits, ReadsWhatTheKernelWrites) {
  const auto limits = ParseLimits(
      "Limit                     Soft Limit           Hard Limit           Units     \n"
      "Max cpu time              unlimited            unlimited            seconds   \n"
      "Max open files            1024                 524288               files     \n"
      "Max nice priority         0                    0                    \n");
  ASSERT_TRUE(limits) << limits.error().message();
  ASSERT_EQ(limits->size(), 3u);
  EXPECT_EQ((*limits)[0].first, RLIMIT_CPU);
  EXPECT_EQ((*limits)[0].second.rlim_cur, RLIM_INFINITY);
  EXPECT_EQ((*limits)[1].first, RLIMIT_NOFILE);
  EXPECT_EQ((*limits)[1].second.rlim_cur, 1024u);
  EXPECT_EQ((*limits)[1].second.rlim_max, 524288u);
  EXPECT_EQ((*limits)[2].first, RLIMIT_NICE);
}

TEST(ParseLimits, KnowsEveryLimitOfThisKernel) {
  const std::string text = ReadFile("/proc/self/limits").value();
  const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  EXPECT_EQ(ParseLimits(text).value().size(), lines - 1);
}

TEST(ParseLimits, RefusesWhatIsNoNumber) {
  EXPECT_FALSE(ParseLimits("Max open files  many  524288  files\n"));
  EXPECT_FALSE(ParseLimits("Max open files  \n"));
}

TEST(CopyLimits, LowersThemToTheOtherProcess) {
  auto from = Process::Spawn({.argv = {"sh", "-c", "ulimit -n 77; exec sleep 100"}});
  auto to = Process::Spawn({.argv = {"sleep", "100"}});
  ASSERT_TRUE(from && to);
  const std::string limits = "/proc/" + std::to_string(from->pid()) + "/limits";
  while (ReadFile(limits).value().find(" 77 ") == std::string::npos) ::usleep(1000);
  ASSERT_TRUE(CopyLimits(from->pid(), to->pid()));
  rlimit limit = {};
  ASSERT_EQ(::prlimit(to->pid(), RLIMIT_NOFILE, nullptr, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, 77u);
  EXPECT_EQ(limit.rlim_max, 77u);
}

TEST(RaiseHardLimits, LowersNoneAndLeavesSoftOnes) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {  // the test's own limits stay
    const auto before = ParseLimits(ReadFile("/proc/self/limits").value()).value();
    RaiseHardLimits();
    const auto after = ParseLimits(ReadFile("/proc/self/limits").value()).value();
    for (size_t i = 0; i < before.size(); ++i)
      if (after[i].second.rlim_cur != before[i].second.rlim_cur ||
          after[i].second.rlim_max < before[i].second.rlim_max)
        ::_exit(1);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace holdfast::warden
