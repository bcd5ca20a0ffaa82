// Unix time, as the journal and the wire have it.
#pragma once

#include <chrono>
#include <cstdint>

namespace holdfast::coordinator {

// As the clock was when it was first asked, and steady since: spans of it and what came first are
// right although the machine's clock be stepped.
inline int64_t NowNs() {
  using std::chrono::steady_clock;
  using std::chrono::system_clock;
  static const steady_clock::time_point begin = steady_clock::now();
  static const system_clock::duration begin_unix = system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(begin_unix +
                                                              (steady_clock::now() - begin))
      .count();
}

}  // namespace holdfast::coordinator
