#include "warden/criu/orphans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::warden {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

image::pstree_entry Process(uint32_t pid, uint32_t parent, uint32_t session) {
  image::pstree_entry process;
  process.set_pid(pid);
  process.set_ppid(parent);
  process.set_pgid(session);
  process.set_sid(session);
  process.add_threads(pid);
  return process;
}

// pod-root, the script, the daemon of a step and its task.
std::vector<image::pstree_entry> Job(const std::vector<image::pstree_entry>& more) {
  std::vector<image::pstree_entry> processes = {Process(1000, 0, 1000), Process(1002, 1000, 1002),
                                                Process(1010, 1000, 1000),
                                                Process(1012, 1010, 1012)};
  processes.insert(processes.end(), more.begin(), more.end());
  return processes;
}

uint32_t ParentOf(const Orphans& orphans, uint32_t pid) {
  for (const image::pstree_entry& process : orphans.processes)
    if (process.pid() == pid) return process.ppid();
  return 0;
}

TEST(OrphansTest, TheRootAdopts) {
  const auto processes = Job({Process(1003, 1002, 1002), Process(1004, 1000, 1002)});
  const Orphans orphans = PlaceOrphans(processes);
  EXPECT_EQ(orphans.Variable(), "HOLDFAST_ADOPTERS=1000");
  for (const image::pstree_entry& process : processes)
    EXPECT_EQ(ParentOf(orphans, process.pid()), process.ppid());
  const auto image =
      ParseImage<image::pstree_entry>(kPstreeImage, orphans.Image(), ImageMagic::kPstree);
  ASSERT_TRUE(image);
  ASSERT_EQ(image->size(), processes.size());
  EXPECT_EQ(image->back().threads(0), 1004u);
}

TEST(OrphansTest, WhatATaskLeavesBehind) {
  // Adopted by the daemon, with a child; one of a session whose leader is gone, and a process that
  // left its parent's session.
  const auto processes =
      Job({Process(1014, 1010, 1012), Process(1015, 1014, 1012), Process(1016, 1010, 1013),
           Process(1017, 1012, 1017), Process(1018, 1017, 1017)});
  EXPECT_TRUE(CheckOrphans(processes));
  const Orphans orphans = PlaceOrphans(processes);
  EXPECT_THAT(orphans.adopters, ElementsAre(1000, 1010));
  EXPECT_EQ(ParentOf(orphans, 1014), 1000u);
  EXPECT_EQ(ParentOf(orphans, 1015), 1014u);
  EXPECT_EQ(ParentOf(orphans, 1016), 1000u);
  EXPECT_EQ(ParentOf(orphans, 1017), 1012u);
  EXPECT_EQ(ParentOf(orphans, 1018), 1017u);
}

TEST(OrphansTest, AChildFromBeforeItsParentsSession) {
  // Its session's leader is above both.
  EXPECT_TRUE(CheckOrphans(Job({Process(1020, 1002, 1020), Process(1021, 1020, 1002)})));
  // It is not, any more: 1022 was adopted, 1023 is its child.
  const Status status = CheckOrphans(Job({Process(1022, 1000, 1022), Process(1023, 1022, 1002)}));
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message(), HasSubstr("process 1023 is a child of process 1022"));
  EXPECT_FALSE(CheckOrphans(Job({Process(1022, 1000, 1022), Process(1023, 1022, 999)})));
}

TEST(OrphansTest, ImagesThatLie) {
  EXPECT_FALSE(CheckOrphans(Job({Process(1030, 1031, 5), Process(1031, 1030, 6)})));
  EXPECT_TRUE(CheckOrphans({}));
  PlaceOrphans({Process(1, 1, 2)});
}

}  // namespace
}  // namespace holdfast::warden
