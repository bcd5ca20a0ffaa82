#include "warden/criu/interrupted_waits.h"

#include <gmock/gmock.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>

#include "warden/criu/images.h"

namespace holdfast::warden {
namespace {

constexpr uint64_t kIp = 0x401007;

std::string Core(uint64_t ax, uint64_t orig_ax, uint32_t mode = 1) {
  image::core_entry core;
  core.set_mtype(1);
  auto& registers = *core.mutable_thread_info()->mutable_gpregs();
  registers.set_ax(ax);
  registers.set_orig_ax(orig_ax);
  registers.set_ip(kIp);
  registers.set_mode(mode);
  return SerializeImage(ImageMagic::kCore, {&core});
}

image::user_x86_regs_entry After(const std::string& contents, const std::string& code = "") {
  const auto read = [&](uint64_t address, std::span<std::byte> out) {
    EXPECT_EQ(address, kIp - 7);
    if (code.size() != out.size()) return false;
    std::memcpy(out.data(), code.data(), code.size());
    return true;
  };
  const auto changed = BeginWaitAgain("core-7.img", contents, read);
  EXPECT_TRUE(changed);
  const auto core = ParseOnly<image::core_entry>("core-7.img", *changed, ImageMagic::kCore);
  EXPECT_TRUE(core);
  return core->thread_info().gpregs();
}

constexpr uint64_t kInterrupted = static_cast<uint64_t>(-EINTR);

TEST(InterruptedWaits, AreBegunAgain) {
  for (const uint64_t number : {SYS_nanosleep, SYS_clock_nanosleep, SYS_poll, SYS_futex}) {
    const auto registers = After(Core(kInterrupted, number));
    EXPECT_EQ(registers.ax(), number);
    EXPECT_EQ(registers.ip(), kIp - 2);
  }
}

TEST(InterruptedWaits, OtherCallsAndOtherResultsStay) {
  for (const auto& [ax, orig_ax] : std::initializer_list<std::pair<uint64_t, uint64_t>>{
           {kInterrupted, SYS_epoll_wait},             // the kernel's own answer
           {kInterrupted, static_cast<uint64_t>(-1)},  // after a signal handler
           {0, SYS_nanosleep},
           {static_cast<uint64_t>(-EAGAIN), SYS_futex}}) {
    const auto registers = After(Core(ax, orig_ax));
    EXPECT_EQ(registers.ax(), ax);
    EXPECT_EQ(registers.ip(), kIp);
  }
}

TEST(InterruptedWaits, AThirtyTwoBitProgramStays) {
  EXPECT_EQ(After(Core(kInterrupted, SYS_poll, 2)).ip(), kIp);
}

TEST(InterruptedWaits, OfOneThatWasContinuedTheCodeTellsWhich) {
  const std::string sleep("\xb8\xe6\0\0\0\x0f\x05", 7);  // mov $230,%eax; syscall
  const auto registers = After(Core(kInterrupted, SYS_restart_syscall), sleep);
  EXPECT_EQ(registers.ax(), static_cast<uint64_t>(SYS_clock_nanosleep));
  EXPECT_EQ(registers.ip(), kIp - 2);
  const std::string other("\xb8\x01\0\0\0\x0f\x05", 7);  // write
  EXPECT_EQ(After(Core(kInterrupted, SYS_restart_syscall), other).ip(), kIp);
  EXPECT_EQ(After(Core(kInterrupted, SYS_restart_syscall), std::string(7, '\x90')).ip(), kIp);
  EXPECT_EQ(After(Core(kInterrupted, SYS_restart_syscall)).ip(), kIp);
}

TEST(InterruptedWaits, WhatIsNoImageIsRefused) {
  const auto read = [](uint64_t, std::span<std::byte>) { return false; };
  const auto changed = BeginWaitAgain("core-7.img", "nonsense", read);
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace holdfast::warden
