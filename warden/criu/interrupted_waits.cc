#include "warden/criu/interrupted_waits.h"

#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "warden/criu/images.h"

namespace holdfast::warden {
namespace {

#ifdef __x86_64__

constexpr uint64_t kSyscallBytes = 2;  // 0f 05

// Every user of restart_block in Linux 6.18 that a process can wait in.
constexpr uint64_t kWaits[] = {SYS_nanosleep, SYS_clock_nanosleep, SYS_poll, SYS_futex};

bool IsWait(uint64_t number) { return std::ranges::find(kWaits, number) != std::end(kWaits); }

// A wait that had been continued before is in restart_syscall(2), and the kernel alone knows which
// it was. But the C libraries load its number right before: mov $NUMBER,%eax; syscall.
std::optional<uint64_t> NumberInCode(uint64_t ip, const ReadCode& read) {
  std::array<std::byte, 7> code;
  if (ip < code.size() || !read(ip - code.size(), code)) return std::nullopt;
  constexpr auto kMov = std::byte{0xb8}, kSyscall0 = std::byte{0x0f}, kSyscall1 = std::byte{0x05};
  if (code[0] != kMov || code[5] != kSyscall0 || code[6] != kSyscall1) return std::nullopt;
  uint32_t number = 0;
  std::memcpy(&number, &code[1], sizeof number);
  if (!IsWait(number)) return std::nullopt;
  return number;
}

std::optional<uint64_t> InterruptedWait(const image::user_x86_regs_entry& registers,
                                        const ReadCode& read) {
  constexpr uint32_t kCompat = 2;  // a 32-bit program
  if (registers.mode() == kCompat || registers.ax() != static_cast<uint64_t>(-EINTR))
    return std::nullopt;
  if (registers.orig_ax() == SYS_restart_syscall) return NumberInCode(registers.ip(), read);
  if (!IsWait(registers.orig_ax())) return std::nullopt;
  return registers.orig_ax();
}

#endif

}  // namespace

Result<std::string> BeginWaitAgain(const std::string& name, const std::string& contents,
                                   [[maybe_unused]] const ReadCode& read) {
#ifdef __x86_64__
  HOLDFAST_TRY(auto core, ParseOnly<image::core_entry>(name, contents, ImageMagic::kCore));
  if (!core.has_thread_info()) return contents;
  auto& registers = *core.mutable_thread_info()->mutable_gpregs();
  const auto number = InterruptedWait(registers, read);
  if (!number) return contents;
  registers.set_ax(*number);
  registers.set_ip(registers.ip() - kSyscallBytes);
  return SerializeImage(ImageMagic::kCore, {&core});
#else
  return contents;
#endif
}

}  // namespace holdfast::warden
