#include "warden/criu/interrupted_waits.h"

#include <gmock/gmock.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>
#include <map>

namespace holdfast::warden {
namespace {

constexpr uint64_t kIp = 0x401007;
constexpr int64_t kRestartSys = -512, kRestartNoHand = -514, kRestartBlock = -516;

class InterruptedWaits : public ::testing::Test {
 protected:
  std::optional<InterruptedWait> Find(int64_t ax, int64_t number,
                                      const Circumstances& circumstances = {}) {
    return FindInterruptedWait({.ip = kIp, .ax = ax, .orig_ax = number}, arguments_, circumstances,
                               [this](uint64_t address) -> std::optional<uint64_t> {
                                 if (!memory_.contains(address)) return std::nullopt;
                                 return memory_[address];
                               });
  }
  void PutCode(const std::string& code) {
    uint64_t word = 0;
    std::memcpy(&word, code.data(), code.size());
    memory_[kIp - 7] = word;
  }
  static SystemCall BegunAgain(int64_t number) {
    return {.ip = kIp - 2, .ax = number, .orig_ax = number};
  }

  Arguments arguments_ = {};
  std::map<uint64_t, uint64_t> memory_;
};

TEST_F(InterruptedWaits, WhatTheKernelContinuesIsBegunAgainInTheImage) {
  for (const int64_t number : {SYS_nanosleep, SYS_clock_nanosleep, SYS_poll, SYS_futex}) {
    const auto wait = Find(kRestartBlock, number);
    ASSERT_TRUE(wait);
    EXPECT_TRUE(IsContinuable(*wait));
    EXPECT_EQ(wait->stopped.ax, kRestartBlock);
    EXPECT_EQ(wait->again.ax, kRestartNoHand);
    EXPECT_EQ(wait->left, BegunAgain(number));
  }
}

TEST_F(InterruptedWaits, WhatTheKernelBeginsAgainIsToldAsItIs) {
  const auto wait = Find(kRestartSys, SYS_read);
  ASSERT_TRUE(wait);
  EXPECT_FALSE(IsContinuable(*wait));
  EXPECT_EQ(wait->told, wait->stopped);
  EXPECT_EQ(wait->again, wait->stopped);
  EXPECT_EQ(wait->left, BegunAgain(SYS_read));
}

TEST_F(InterruptedWaits, WhatReturnsEintrIsBegunAgainIfItEndsBetweenTwoSaves) {
  constexpr uint64_t kTimeout = 0x7000;
  arguments_ = {5, 0, kTimeout, 1000, kTimeout, 0};
  memory_[kTimeout] = 30;
  for (const int64_t number : {SYS_epoll_wait, SYS_epoll_pwait, SYS_semop, SYS_rt_sigtimedwait,
                               SYS_io_getevents, SYS_recvfrom}) {
    const auto wait = Find(-EINTR, number);
    ASSERT_TRUE(wait) << number;
    EXPECT_EQ(wait->again.ax, kRestartNoHand);
    EXPECT_EQ(wait->left, BegunAgain(number));
  }
  arguments_[3] = static_cast<uint64_t>(-1);
  EXPECT_TRUE(Find(-EINTR, SYS_epoll_wait));
  arguments_[3] = 3600'000;
  EXPECT_FALSE(Find(-EINTR, SYS_epoll_wait));
  arguments_[3] = 0;
  EXPECT_TRUE(Find(-EINTR, SYS_semtimedop));
  arguments_[3] = kTimeout;
  EXPECT_TRUE(Find(-EINTR, SYS_semtimedop));
  memory_[kTimeout] = 3600;
  EXPECT_FALSE(Find(-EINTR, SYS_semtimedop));
  memory_.clear();
  EXPECT_FALSE(Find(-EINTR, SYS_semtimedop));
}

TEST_F(InterruptedWaits, OtherCallsAndOtherResultsStay) {
  EXPECT_FALSE(Find(-EINTR, SYS_close));
  EXPECT_FALSE(Find(-EINTR, -1));  // after a signal handler
  EXPECT_FALSE(Find(kRestartBlock, -1));
  EXPECT_FALSE(Find(0, SYS_nanosleep));
  EXPECT_FALSE(Find(-EAGAIN, SYS_futex));
}

TEST_F(InterruptedWaits, IfAHandlerIsDueTheImageHasEintr) {
  for (const int64_t ax : {kRestartBlock, kRestartNoHand}) {
    const auto wait = Find(ax, SYS_poll, {.handler_due = true});
    ASSERT_TRUE(wait);
    EXPECT_EQ(wait->left, (SystemCall{.ip = kIp, .ax = -EINTR, .orig_ax = SYS_poll}));
    EXPECT_EQ(wait->again.ax, kRestartNoHand);
  }
  // The handler's SA_RESTART decides.
  EXPECT_EQ(Find(kRestartSys, SYS_read, {.handler_due = true})->left, BegunAgain(SYS_read));
}

TEST_F(InterruptedWaits, OfOneThatWasContinuedTheCodeTellsWhich) {
  PutCode(std::string("\xb8\xe6\0\0\0\x0f\x05", 7));  // mov $230,%eax; syscall
  const auto wait = Find(kRestartBlock, SYS_restart_syscall);
  ASSERT_TRUE(wait);
  EXPECT_EQ(wait->left, BegunAgain(SYS_clock_nanosleep));
  EXPECT_EQ(wait->stopped.orig_ax, SYS_restart_syscall);
  EXPECT_EQ(wait->again.orig_ax, SYS_clock_nanosleep);
  const SystemCall eintr{.ip = kIp, .ax = -EINTR, .orig_ax = SYS_restart_syscall};
  PutCode(std::string("\xb8\x01\0\0\0\x0f\x05", 7));  // write
  EXPECT_EQ(Find(kRestartBlock, SYS_restart_syscall)->left, eintr);
  PutCode(std::string(7, '\x90'));
  EXPECT_EQ(Find(kRestartBlock, SYS_restart_syscall)->left, eintr);
  memory_.clear();
  EXPECT_EQ(Find(kRestartBlock, SYS_restart_syscall)->left, eintr);
}

TEST_F(InterruptedWaits, WhatIsKnownOfAContinuedOneGoesBeforeTheCode) {
  PutCode(std::string("\xb8\xe6\0\0\0\x0f\x05", 7));
  const auto wait = Find(kRestartBlock, SYS_restart_syscall, {.number = SYS_poll});
  ASSERT_TRUE(wait);
  EXPECT_EQ(wait->left, BegunAgain(SYS_poll));
}

TEST_F(InterruptedWaits, A32BitProgramHasOtherNumbers) {
  const auto read = [](uint64_t) -> std::optional<uint64_t> { return std::nullopt; };
  SystemCall stopped{.ip = kIp, .ax = kRestartBlock, .orig_ax = 162, .is_32_bit = true};
  const auto wait = FindInterruptedWait(stopped, {}, {}, read);  // nanosleep
  ASSERT_TRUE(wait);
  EXPECT_EQ(wait->left.ax, 162);
  EXPECT_EQ(wait->left.ip, kIp - 2);
  stopped.orig_ax = 0;  // restart_syscall
  EXPECT_EQ(FindInterruptedWait(stopped, {}, {}, read)->left.ax, -EINTR);
  stopped = {.ip = kIp, .ax = -EINTR, .orig_ax = SYS_epoll_wait, .is_32_bit = true};
  EXPECT_FALSE(FindInterruptedWait(stopped, {}, {}, read));
}

}  // namespace
}  // namespace holdfast::warden
