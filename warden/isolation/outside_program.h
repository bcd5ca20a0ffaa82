// holdfast-outside: the program by which a pod reaches the world outside of its job (outside.h). It
// has the pod's interface as a descriptor and no right but its user's, and makes of what is sent
// there connections of its own, by libslirp.
#pragma once

namespace holdfast::warden {

// The descriptor of the interface, in holdfast-outside.
inline constexpr int kTapFd = 3;
// Link-local, which no site routes: libslirp's own addresses, in every pod the same.
inline constexpr const char* kOutsideNetwork = "169.254.77.0/24";
inline constexpr const char* kOutsideGateway = "169.254.77.2";
inline constexpr const char* kOutsideResolver = "169.254.77.3";
// As large as libslirp takes: every packet costs two system calls.
inline constexpr unsigned kOutsideMtu = 65520;

// Serves until the interface is gone; returns the exit code.
int RunOutside();

}  // namespace holdfast::warden
