// Binds real processes in a real pod: needs root.
#include "warden/isolation/affinity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "base/files.h"

namespace holdfast::warden {
namespace {

using ::testing::HasSubstr;

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

TEST(BindToShare, EachHasCpusOfItsOwn) {
  const int all = CpusOf(0);
  if (all < 2) GTEST_SKIP() << "needs two CPUs";
  cpu_set_t whole, first, second, both;
  ASSERT_EQ(::sched_getaffinity(0, sizeof whole, &whole), 0);
  ASSERT_TRUE(BindToShare(0, 2));
  ::sched_getaffinity(0, sizeof first, &first);
  ::sched_setaffinity(0, sizeof whole, &whole);
  ASSERT_TRUE(BindToShare(1, 2));
  ::sched_getaffinity(0, sizeof second, &second);
  ::sched_setaffinity(0, sizeof whole, &whole);
  CPU_AND(&both, &first, &second);
  EXPECT_EQ(CPU_COUNT(&both), 0);
  EXPECT_EQ(CPU_COUNT(&first) + CPU_COUNT(&second), all);
  ASSERT_TRUE(BindToShare(0, static_cast<uint32_t>(all) + 1));
  EXPECT_EQ(CpusOf(0), all) << "more pods than CPUs";
}

class BindPodTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make namespaces";
    if (CpusOf(0) < 2) GTEST_SKIP() << "needs two CPUs";
    auto pod = Pod::Create({.hostname = "pod0",
                            .owner = {.uid = 65534, .gid = 65534, .groups = {}},
                            .hosts = "",
                            .init_program = HOLDFAST_TEST_POD_INIT});
    ASSERT_TRUE(pod) << pod.error().message();
    pod_ = std::move(*pod);
    ASSERT_TRUE(pod_->StartRoot({"/bin/sh", "-c", "sleep 100"}));
    root_ = pod_->OuterPid(pod_->root_pid()).value();
  }
  void TearDown() override { pod_.reset(); }

  std::unique_ptr<Pod> pod_;
  pid_t root_ = -1;  // outside
};

TEST_F(BindPodTest, BindsEveryThreadOfThePod) {
  EXPECT_GT(CpusOf(root_), 1);
  EXPECT_EQ(DescribeBindings(*pod_).value(), "");
  const OnOneCpu one;
  ASSERT_TRUE(BindPod(*pod_, ""));
  EXPECT_EQ(CpusOf(root_), 1);
}

TEST_F(BindPodTest, ThreadsKeepTheirPlacesAmongTheStepsCpus) {
  {
    const OnOneCpu one;
    ASSERT_TRUE(BindPod(*pod_, ""));
  }
  const std::string bindings = DescribeBindings(*pod_).value();
  EXPECT_THAT(bindings, HasSubstr("\n" + std::to_string(pod_->root_pid()) + " 0\n"));
  ASSERT_TRUE(BindPod(*pod_, ""));
  EXPECT_GT(CpusOf(root_), 1);
  ASSERT_TRUE(BindPod(*pod_, bindings));
  EXPECT_EQ(CpusOf(root_), 1);
}

TEST_F(BindPodTest, APlaceThatIsNotThereMeansAllCpus) {
  const std::string bindings = std::to_string(pod_->root_pid()) + " 100000\n";
  ASSERT_TRUE(BindPod(*pod_, bindings));
  EXPECT_EQ(CpusOf(root_), CpusOf(0));
}

}  // namespace
}  // namespace holdfast::warden
