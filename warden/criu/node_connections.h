// Connections of the pod's processes to daemons of the node by unix sockets: sssd's, nscd's,
// D-Bus'. Their other ends stay on the node, so a move ends them, as it does connections to other
// machines: a restored process reads what had come, then the end of the stream. Clients of such
// daemons connect again, as when a daemon is restarted. A save that lets the job run on leaves them
// alone.
//
// Used by save.cc. Thread-safe.
#pragma once

#include <vector>

#include "base/result.h"
#include "warden/criu/images.h"

namespace holdfast::warden {

// What CRIU is told may lead to the outside (criu(8), --external): every unix socket, as
// preload_sockets.cc has it understand this. Of those whose other end it finds, it takes no notice.
inline constexpr const char* kEveryUnixSocket = "unix[*]";
// Whether CRIU found such a connection that is not accepted yet.
bool IsAboutNewConnection(const Error& error);

// In a pod's files: makes them connections that the other side has ended.
void EndNodeConnections(std::vector<image::file_entry>& files);

}  // namespace holdfast::warden
