// Binds real processes in a real pod: needs root.
#include "warden/affinity.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>

#include "base/files.h"

namespace holdfast::warden {
namespace {

int CpusOf(pid_t pid) {
  cpu_set_t set;
  return ::sched_getaffinity(pid, sizeof set, &set) == 0 ? CPU_COUNT(&set) : -1;
}

// While it lives, the calling thread runs on the first CPU only.
class OnOneCpu {
 public:
  OnOneCpu() {
    ::sched_getaffinity(0, sizeof previous_, &previous_);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &previous_)) {
        CPU_SET(cpu, &one);
        break;
      }
    ::sched_setaffinity(0, sizeof one, &one);
  }
  ~OnOneCpu() { ::sched_setaffinity(0, sizeof previous_, &previous_); }

 private:
  cpu_set_t previous_;
};

TEST(BindLike, TakesTheBindingOfAnotherProcess) {
  if (CpusOf(0) < 2) GTEST_SKIP() << "needs two CPUs";
  const int all = CpusOf(0);
  auto other = Process::Spawn({.argv = {"sleep", "100"}});
  ASSERT_TRUE(other);
  const OnOneCpu one;
  ASSERT_TRUE(BindLike(other->pid()));
  EXPECT_EQ(CpusOf(0), all);
}

TEST(BindPod, BindsEveryThreadOfThePod) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make namespaces";
  if (CpusOf(0) < 2) GTEST_SKIP() << "needs two CPUs";
  char directory[] = "/var/tmp/holdfast-affinity-test-XXXXXX";
  ASSERT_NE(::mkdtemp(directory), nullptr);
  auto pod = Pod::Create({.hostname = "pod0",
                          .owner = {.uid = 65534, .gid = 65534, .groups = {}},
                          .hosts = "",
                          .state_directory = directory,
                          .init_program = HOLDFAST_TEST_POD_INIT});
  ASSERT_TRUE(pod) << pod.error().message();
  ASSERT_TRUE((*pod)->StartRoot({"/bin/sh", "-c", "sleep 100"}));
  const pid_t outer = (*pod)->OuterPid((*pod)->root_pid()).value();
  EXPECT_GT(CpusOf(outer), 1);
  const OnOneCpu one;
  ASSERT_TRUE(BindPod(**pod));
  EXPECT_EQ(CpusOf(outer), 1);
  pod->reset();
  EXPECT_TRUE(RemoveTree(directory));
}

}  // namespace
}  // namespace holdfast::warden
