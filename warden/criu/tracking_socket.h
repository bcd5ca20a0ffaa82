// How the warden gets userfaultfds from preload_tracking.cc, inside CRIU: over a SOCK_SEQPACKET
// socket that CRIU is started with. The warden has put one message into it, the pids that it has
// one of already. For each other process there comes its pid, with the descriptor. All pids are the
// pod's. Used by save.cc and
// write_tracking.cc too.
#pragma once

namespace holdfast::warden {

// Its number in CRIU.
inline constexpr int kTrackingFd = 8;
// In CRIU's environment if it has that socket.
inline constexpr const char* kTrackingVariable = "HOLDFAST_TRACK_WRITES";

}  // namespace holdfast::warden
