// Unix time, as the journal and the wire have it.
#pragma once

#include <chrono>
#include <cstdint>

namespace holdfast::coordinator {

inline int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace holdfast::coordinator
