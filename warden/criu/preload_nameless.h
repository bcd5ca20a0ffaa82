// How the warden tells the library in `criu restore` of files without names
// (warden/files/nameless.h).
#pragma once

namespace holdfast::warden {

// In CRIU's environment: the numbers that CRIU's images have for them, hexadecimal, with commas.
// The first one is the descriptor kFirstNamelessFd of CRIU, and so on.
inline constexpr const char* kNamelessVariable = "HOLDFAST_NAMELESS";
inline constexpr int kFirstNamelessFd = 100;
// CRIU may have few descriptors itself.
inline constexpr unsigned kMostNameless = 256;

}  // namespace holdfast::warden
