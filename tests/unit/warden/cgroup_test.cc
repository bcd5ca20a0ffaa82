#include "warden/isolation/cgroup.h"

#include <gmock/gmock.h>
#include <unistd.h>

namespace holdfast::warden {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kVersion1 =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "36 31 0:33 /lab/n1 /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n";
constexpr const char* kVersion2 =
    "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST(ParseMemberships, BothVersions) {
  const auto parsed = ParseMemberships(
      "7:cpu,cpuacct:/\n6:freezer:/slurm/uid_1000/job_3/step_0\n"
      "1:name=systemd:/a:b\n0::/system.slice/x.scope\n");
  ASSERT_TRUE(parsed);
  EXPECT_THAT(*parsed, ElementsAre(CgroupMembership{"cpu,cpuacct", "/"},
                                   CgroupMembership{"freezer", "/slurm/uid_1000/job_3/step_0"},
                                   CgroupMembership{"name=systemd", "/a:b"},
                                   CgroupMembership{"", "/system.slice/x.scope"}));
}

TEST(ParseMemberships, RefusesWhatIsNone) {
  EXPECT_FALSE(ParseMemberships("6:freezer\n"));
  EXPECT_FALSE(ParseMemberships("6:freezer:slurm\n"));
}

TEST(FindCgroup, FindsTheHierarchyWithTheControllers) {
  EXPECT_EQ(FindCgroup(kVersion1, {"freezer", "/slurm/job_3"}).value(),
            "/sys/fs/cgroup/freezer/slurm/job_3");
  EXPECT_EQ(FindCgroup(kVersion1, {"cpu,cpuacct", "/"}).value(), "/sys/fs/cgroup/cpu,cpuacct/");
  EXPECT_EQ(FindCgroup(kVersion1, {"name=systemd", "/x"}).value(), "/sys/fs/cgroup/systemd/x");
  EXPECT_EQ(FindCgroup(kVersion2, {"", "/system.slice"}).value(), "/sys/fs/cgroup/system.slice");
}

TEST(FindCgroup, KnowsMountsThatShowPartOfAHierarchy) {
  EXPECT_EQ(FindCgroup(kVersion1, {"memory", "/lab/n1/slurm"}).value(),
            "/sys/fs/cgroup/memory/slurm");
  EXPECT_EQ(FindCgroup(kVersion1, {"memory", "/lab/n1"}).value(), "/sys/fs/cgroup/memory");
  EXPECT_FALSE(FindCgroup(kVersion1, {"memory", "/lab/n10/slurm"}));
}

TEST(FindCgroup, SaysWhatIsNotMounted) {
  const auto found = FindCgroup(kVersion1, {"", "/x"});
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::kNotFound);
  EXPECT_THAT(FindCgroup(kVersion1, {"pids", "/x"}).error().message(), HasSubstr("'pids'"));
}

TEST(JoinCgroupsOf, OwnCgroupsNeedNoMove) { EXPECT_TRUE(JoinCgroupsOf(::getpid())); }

TEST(JoinCgroupsOf, FailsForAProcessThatIsGone) {
  EXPECT_EQ(JoinCgroupsOf(0x3fffff).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace holdfast::warden
