// What is queued in pseudo-terminals: written by one side, and not yet read by the other.
//
// CRIU reads it away when it dumps, and writes it back at the other side, where it is processed a
// second time ("\n" becomes "\r\n" once more, input is echoed once more) and may not fit; then
// bytes are lost, or a restore waits for ever. So CRIU is kept away from it (preload.cc), and it is
// read and put back here.
//
// The kernel has no way of looking at a queue: what is saved is taken out and put back at once,
// while the pod is frozen. It is put back behind the processing that it has been through, by
// TIOCSTI, which needs CAP_SYS_ADMIN. More than the line discipline holds (4,095 bytes each way)
// waits before it, and goes there again.
//
// Not kept is what a master in packet mode would be told next beside data (TIOCPKT(2const)).
//
// Used by save.cc and restore.cc. One thread.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "warden/isolation/pod.h"
#include "warden_images/terminals.pb.h"

namespace holdfast::warden {

inline constexpr const char* kTerminalsImage = "terminals.table";

// Contents of the image, of a pod that is frozen; empty if nothing needs one.
Result<std::string> SaveTerminals(const Pod& pod);
// Of a pod that has been restored and does not run yet. kCorrupt if it is no such image.
Status RestoreTerminals(const Pod& pod, const std::string& contents);

// The same for one pair. `slave` is another open file than its users', or not open if they have
// closed it; nobody else reads or writes meanwhile.
Status TakeQueues(const UniqueFd& master, const UniqueFd& slave, terminals::Terminal& terminal);
Status PutQueues(const UniqueFd& master, const UniqueFd& slave,
                 const terminals::Terminal& terminal);

}  // namespace holdfast::warden
