// Makes system calls in the place of a thread, with its rights and in its memory: some of what a
// process has, only it can see or change. The thread must be stopped, and this its tracer (CRIU,
// that is: it is used by the libraries in CRIU). When this goes, the thread is stopped as before,
// and as it was but for what the calls did. Needs libc alone.
//
// 64-bit programs only.
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>

namespace holdfast::warden {

class BorrowedThread {
 public:
  using Arguments = std::array<uint64_t, 6>;

  explicit BorrowedThread(pid_t tid);
  ~BorrowedThread();
  BorrowedThread(const BorrowedThread&) = delete;
  BorrowedThread& operator=(const BorrowedThread&) = delete;

  // Whether calls can be made.
  bool valid() const { return valid_; }
  // What the call returns: -errno for failures; -ESRCH if it could not be made, too.
  int64_t Call(int64_t number, const Arguments& arguments);
  // The address of a page for what calls point to; 0 if there can be none.
  uint64_t room();
  bool Write(uint64_t address, const void* data, size_t size) const;
  bool Read(uint64_t address, void* data, size_t size) const;

 private:
  enum class Stop { kSystemCall, kInterrupt };

  uint64_t FindInstruction() const;
  bool SetRegisters(const user_regs_struct& registers) const;
  // Lets it go on until there: into a system call, out of it, or until it is interrupted.
  bool RunTo(Stop stop);
  void SaveRseq();

  pid_t tid_;
  bool valid_ = false;
  bool moved_ = false;  // from where it was stopped
  bool stop_due_ = false;
  user_regs_struct registers_ = {};
  uint64_t blocked_ = 0;  // signals
  uint64_t rseq_ = 0, critical_section_ = 0;
  uint64_t instruction_ = 0;
  uint64_t room_ = 0;
  sigset_t own_mask_;
};

}  // namespace holdfast::warden
