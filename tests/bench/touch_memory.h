// Memory that is there when it is wanted.
#pragma once

#include <sys/mman.h>

#include <cstddef>

#include "base/result.h"
#include "tests/bench/figures.h"

namespace holdfast::bench {

// A virtual machine gets memory from its host when it first touches it, which takes longer than
// what is measured, and may give it back a few seconds after it has been freed. Makes the kernel
// have that much of it free and ready. Call it right before what is timed.
inline void TouchMemory(size_t size_bytes) {
  void* memory = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) Die(Error::Errno("touching memory"));
  ::munmap(memory, size_bytes);
}

}  // namespace holdfast::bench
