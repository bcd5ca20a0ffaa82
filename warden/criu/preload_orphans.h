// How the warden tells the library in `criu restore` who adopts (orphans.h).
#pragma once

namespace holdfast::warden {

// In CRIU's environment: their pids, with commas.
inline constexpr const char* kAdoptersVariable = "HOLDFAST_ADOPTERS";

}  // namespace holdfast::warden
