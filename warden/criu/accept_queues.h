// TCP connections that somebody has made and nobody has accepted yet. CRIU cannot save them
// ("In-flight connection"). Almost always they are gone a moment later, so a save waits for that.
//
// Used by save.cc and the warden's operations. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

// How long a save waits, its network not being cut: half of what a notice leaves, and without one
// (0) half a minute, in which the job loses nothing.
std::chrono::steady_clock::time_point AcceptsUntil(int64_t deadline_unix_ms);
// And once it is cut, which costs the job's other nodes time.
inline constexpr std::chrono::seconds kAcceptsWhenCut{2};

// Waits until nothing waits, at the moment that it looks. After `until`: kUnavailable, naming
// processes and addresses. At once, if the pod ends or may_go_on() fails.
Status AwaitAccepts(const Pod& pod, std::chrono::steady_clock::time_point until,
                    const std::function<Status()>& may_go_on);
// Whether CRIU found a connection that was made since.
bool IsAboutAccepts(const Error& error);

// "127.0.0.1:80" of /proc/net/tcp's "0100007F:0050", "[::1]:80" of tcp6's; what is no address comes
// back as it is.
std::string ReadableAddress(const std::string& hex);

}  // namespace holdfast::warden
