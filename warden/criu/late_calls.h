// System calls that restored processes are to have made before they run, because only they can:
// what CRIU does not restore and nothing else can give them. The warden writes them into a file,
// when all is restored; a library in `criu restore` (preload_restore.cc) makes them in the
// processes' place, with their rights, and lets nothing run if one fails.
//
// Used by attributes.cc, and in CRIU by one thread.
#pragma once

#include <array>
#include <cstdint>

namespace holdfast::warden {

// The file's number in CRIU.
inline constexpr int kCallsFd = 6;

// A record of the file.
struct LateCall {
  int32_t thread = 0;  // its id in the pod
  int32_t number = 0;
  std::array<uint64_t, 6> arguments = {};
  // Of the arguments, the one that is the address of `data`; -1 if there is none.
  int32_t pointer = -1;
  uint32_t size = 0;
  std::array<char, 256> data = {};
};

}  // namespace holdfast::warden
