// The owner of a file descriptor, and the only place where a raw one lives longer than a call.
#pragma once

#include <utility>

#include "base/result.h"

namespace holdfast {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    Reset(other.Release());
    return *this;
  }
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  // Gives the descriptor up to the caller.
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }
  // Closes what it holds, ignoring errors (readers), and takes fd.
  void Reset(int fd = -1);
  // Closes and reports what close() said: writers must ask, because a network filesystem may only
  // then know that the data did not arrive.
  Status Close();
  // A second descriptor of the same open file, close-on-exec.
  Result<UniqueFd> Duplicate() const;

 private:
  int fd_ = -1;
};

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};
// A close-on-exec pipe.
Result<Pipe> MakePipe();
// A connected pair of close-on-exec AF_UNIX sockets of that type (SOCK_STREAM, SOCK_SEQPACKET).
Result<std::pair<UniqueFd, UniqueFd>> MakeSocketPair(int type);

}  // namespace holdfast
