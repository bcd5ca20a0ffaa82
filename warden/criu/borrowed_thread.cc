#include "warden/criu/borrowed_thread.h"

#include <elf.h>
#include <linux/ptrace.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

namespace holdfast::warden {
namespace {

constexpr uint64_t kRoomBytes = 4096;
constexpr uint64_t kTrapFlag = 0x100;
constexpr int kSystemCallStop = 0x80;  // if CRIU has asked for it: PTRACE_O_TRACESYSGOOD
constexpr unsigned char kSyscall[] = {0x0f, 0x05};
// Of each mapping, looked through for the instruction.
constexpr size_t kPiece = 64 << 10;
// Stops that are none of a call's: a few signals at most.
constexpr int kMostStops = 64;

// The kernel's own: <sys/ptrace.h> cannot be included beside <linux/ptrace.h>, and the library's
// ptrace is not meant.
long Ptrace(long request, pid_t tid, uint64_t address, const void* data) {
  return ::syscall(SYS_ptrace, request, tid, address, data);
}

}  // namespace

BorrowedThread::BorrowedThread(pid_t tid) : tid_(tid) {
  // CRIU counts its children's stops.
  sigset_t child;
  ::sigemptyset(&child);
  ::sigaddset(&child, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &child, &own_mask_);

  iovec where{.iov_base = &registers_, .iov_len = sizeof registers_};
  if (Ptrace(PTRACE_GETREGSET, tid_, NT_PRSTATUS, &where) != 0 ||
      where.iov_len != sizeof registers_)
    return;
  instruction_ = FindInstruction();
  if (instruction_ == 0) return;
  if (Ptrace(PTRACE_GETSIGMASK, tid_, sizeof blocked_, &blocked_) != 0) return;
  const uint64_t all = ~uint64_t{0};
  if (Ptrace(PTRACE_SETSIGMASK, tid_, sizeof all, &all) != 0) return;
  SaveRseq();
  valid_ = true;
}

BorrowedThread::~BorrowedThread() {
  if (room_ != 0) Call(SYS_munmap, {room_, kRoomBytes});
  if (valid_) {
    if (moved_) {
      // To stop where only a signal's coming is looked at: what was interrupted is begun again, or
      // continued, by the kernel.
      SetRegisters(registers_);
      if (Ptrace(PTRACE_INTERRUPT, tid_, 0, nullptr) == 0) RunTo(Stop::kInterrupt);
    }
    if (critical_section_ != 0) Write(rseq_, &critical_section_, sizeof critical_section_);
    Ptrace(PTRACE_SETSIGMASK, tid_, sizeof blocked_, &blocked_);
    if (stop_due_) ::kill(tid_, SIGSTOP);
  }
  ::sigprocmask(SIG_SETMASK, &own_mask_, nullptr);
}

// In the vDSO there is one; else in the program or its libraries.
uint64_t BorrowedThread::FindInstruction() const {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/maps", tid_);
  FILE* const maps = std::fopen(path, "re");
  if (maps == nullptr) return 0;
  uint64_t found = 0;
  std::vector<unsigned char> code(kPiece);
  for (char line[512]; found == 0 && std::fgets(line, sizeof line, maps);) {
    unsigned long start = 0, end = 0;
    char rights[5] = {};
    if (std::sscanf(line, "%lx-%lx %4s", &start, &end, rights) != 3 || rights[0] != 'r' ||
        rights[2] != 'x' || std::strstr(line, "[vsyscall]") != nullptr)
      continue;
    const size_t size = std::min<uint64_t>(end - start, kPiece);
    if (!Read(start, code.data(), size)) continue;
    const auto last = code.begin() + static_cast<ptrdiff_t>(size);
    const auto at = std::search(code.begin(), last, std::begin(kSyscall), std::end(kSyscall));
    if (at != last) found = start + static_cast<uint64_t>(at - code.begin());
  }
  std::fclose(maps);
  return found;
}

// The kernel takes it that a thread which is elsewhere has left its critical section.
void BorrowedThread::SaveRseq() {
  ptrace_rseq_configuration rseq = {};
  if (Ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid_, sizeof rseq, &rseq) != sizeof rseq ||
      rseq.rseq_abi_pointer == 0)
    return;
  rseq_ = rseq.rseq_abi_pointer + 8;  // struct rseq: rseq_cs
  Read(rseq_, &critical_section_, sizeof critical_section_);
}

bool BorrowedThread::SetRegisters(const user_regs_struct& registers) const {
  user_regs_struct copy = registers;
  iovec where{.iov_base = &copy, .iov_len = sizeof copy};
  return Ptrace(PTRACE_SETREGSET, tid_, NT_PRSTATUS, &where) == 0;
}

bool BorrowedThread::RunTo(Stop stop) {
  const long request = stop == Stop::kSystemCall ? PTRACE_SYSCALL : PTRACE_CONT;
  for (int i = 0; i < kMostStops; ++i) {
    int status = 0;
    if (Ptrace(request, tid_, 0, nullptr) != 0) return false;
    if (::waitpid(tid_, &status, __WALL) != tid_ || !WIFSTOPPED(status)) {
      valid_ = false;  // it was killed
      return false;
    }
    const int event = status >> 16, signal = WSTOPSIG(status) & ~kSystemCallStop;
    if (event == PTRACE_EVENT_STOP && stop == Stop::kInterrupt) return true;
    if (event != 0) continue;
    // The system call: as a signal it is blocked, like all others but this one.
    if (signal == SIGTRAP && stop == Stop::kSystemCall) return true;
    if (signal != SIGSTOP) return false;
    stop_due_ = true;
  }
  return false;
}

int64_t BorrowedThread::Call(int64_t number, const Arguments& arguments) {
  if (!valid_) return -ESRCH;
  user_regs_struct registers = registers_;
  registers.rip = instruction_;
  registers.rax = static_cast<uint64_t>(number);
  registers.orig_rax = ~uint64_t{0};
  registers.eflags &= ~kTrapFlag;
  registers.rdi = arguments[0];
  registers.rsi = arguments[1];
  registers.rdx = arguments[2];
  registers.r10 = arguments[3];
  registers.r8 = arguments[4];
  registers.r9 = arguments[5];
  moved_ = true;
  if (!SetRegisters(registers) || !RunTo(Stop::kSystemCall) || !RunTo(Stop::kSystemCall))
    return -ESRCH;
  iovec where{.iov_base = &registers, .iov_len = sizeof registers};
  if (Ptrace(PTRACE_GETREGSET, tid_, NT_PRSTATUS, &where) != 0) return -ESRCH;
  return static_cast<int64_t>(registers.rax);
}

uint64_t BorrowedThread::room() {
  if (room_ != 0) return room_;
  const int64_t at = Call(SYS_mmap, {0, kRoomBytes, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, ~uint64_t{0}, 0});
  if (at > 0) room_ = static_cast<uint64_t>(at);
  return room_;
}

bool BorrowedThread::Write(uint64_t address, const void* data, size_t size) const {
  const iovec from{.iov_base = const_cast<void*>(data), .iov_len = size};
  const iovec to{.iov_base = reinterpret_cast<void*>(address), .iov_len = size};
  return ::process_vm_writev(tid_, &from, 1, &to, 1, 0) == static_cast<ssize_t>(size);
}

bool BorrowedThread::Read(uint64_t address, void* data, size_t size) const {
  const iovec to{.iov_base = data, .iov_len = size};
  const iovec from{.iov_base = reinterpret_cast<void*>(address), .iov_len = size};
  return ::process_vm_readv(tid_, &to, 1, &from, 1, 0) == static_cast<ssize_t>(size);
}

}  // namespace holdfast::warden
