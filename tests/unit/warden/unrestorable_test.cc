#include "warden/criu/unrestorable.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::warden {
namespace {

using ::testing::HasSubstr;

std::vector<image::pstree_entry> Processes() {
  std::vector<image::pstree_entry> processes(1);
  processes[0].set_pid(1004);
  return processes;
}

image::file_entry Pipe(uint32_t pid_type, uint32_t pid) {
  image::file_entry file;
  file.mutable_pipe()->mutable_fown()->set_pid_type(pid_type);
  file.mutable_pipe()->mutable_fown()->set_pid(pid);
  return file;
}

TEST(UnrestorableTest, ThreadsThatGetSignalsOfDescriptors) {
  EXPECT_TRUE(
      CheckRestorable({Pipe(0, 0), Pipe(0, 1004), Pipe(1, 1004), Pipe(2, 1000)}, Processes()));
  const Status status = CheckRestorable({Pipe(0, 1005)}, Processes());
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message(), HasSubstr("thread 1005 gets the signals of a descriptor"));
}

TEST(UnrestorableTest, EpollsThatWatchAFileTwice) {
  image::file_entry epoll;
  for (const uint32_t descriptor : {7, 8}) epoll.mutable_epfd()->add_tfd()->set_tfd(descriptor);
  EXPECT_TRUE(CheckRestorable({epoll}, Processes()));
  epoll.mutable_epfd()->add_tfd()->set_tfd(7);
  const Status status = CheckRestorable({epoll}, Processes());
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message(), HasSubstr("an epoll(7) watches a file"));
}

}  // namespace
}  // namespace holdfast::warden
