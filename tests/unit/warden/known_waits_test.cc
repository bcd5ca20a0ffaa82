#include "warden/criu/known_waits.h"

#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace holdfast::warden {
namespace {

constexpr uint64_t kIp = 0x401007;
constexpr Arguments kArguments = {1, 2, 3, 4, 5, 6};
constexpr pid_t kNobody = 1 << 30;  // above the kernel's PID_MAX_LIMIT

class KnownWaitsTest : public ::testing::Test {
 protected:
  off_t Size() const {
    struct stat info = {};
    EXPECT_EQ(::fstat(file_.get(), &info), 0);
    return info.st_size;
  }
  UniqueFd file_{::memfd_create("waits", MFD_CLOEXEC)};
};

TEST_F(KnownWaitsTest, AreThereAtTheNextSave) {
  const pid_t self = ::getpid();
  {
    KnownWaits waits(file_.get());
    EXPECT_FALSE(waits.NumberOf(self, kIp, kArguments));
    waits.Note(self, kIp, kArguments, SYS_poll);
    waits.Note(::getppid(), kIp, kArguments, SYS_futex);
    waits.Note(self, kIp, kArguments, SYS_nanosleep);
  }
  const KnownWaits waits(file_.get());
  EXPECT_EQ(waits.NumberOf(self, kIp, kArguments), SYS_nanosleep);
  EXPECT_EQ(waits.NumberOf(::getppid(), kIp, kArguments), SYS_futex);
}

TEST_F(KnownWaitsTest, AnotherWaitOfTheThreadIsNotKnown) {
  KnownWaits waits(file_.get());
  waits.Note(::getpid(), kIp, kArguments, SYS_poll);
  EXPECT_FALSE(waits.NumberOf(::getpid(), kIp + 1, kArguments));
  EXPECT_FALSE(waits.NumberOf(::getpid(), kIp, {1}));
}

TEST_F(KnownWaitsTest, ThreadsThatHaveEndedAreForgotten) {
  KnownWaits waits(file_.get());
  waits.Note(kNobody, kIp, kArguments, SYS_poll);
  waits.Note(::getpid(), kIp, kArguments, SYS_poll);
  const off_t both = Size();
  const KnownWaits later(file_.get());
  EXPECT_EQ(Size(), both / 2);
  EXPECT_FALSE(later.NumberOf(kNobody, kIp, kArguments));
  EXPECT_TRUE(later.NumberOf(::getpid(), kIp, kArguments));
  EXPECT_TRUE(KnownWaits(file_.get()).NumberOf(::getpid(), kIp, kArguments));
}

TEST_F(KnownWaitsTest, WithoutAFileNothingIsKept) {
  KnownWaits waits(-1);
  waits.Note(::getpid(), kIp, kArguments, SYS_poll);
  EXPECT_FALSE(KnownWaits(-1).NumberOf(::getpid(), kIp, kArguments));
}

}  // namespace
}  // namespace holdfast::warden
