// What is queued in a pseudo-terminal: written by one side, and not yet read by the other.
//
// The kernel has no way of looking at a queue: what is saved is taken out and put back at once,
// while the pod is frozen. It is put back behind the processing that it has been through, by
// TIOCSTI, which needs CAP_SYS_ADMIN. More than the line discipline holds (4,095 bytes each way)
// waits before it, and goes there again.
//
// Not kept is what a master in packet mode would be told next beside data (TIOCPKT(2const)).
//
// Used by terminals.cc. One thread.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"
#include "warden_images/terminals.pb.h"

namespace holdfast::warden {

// `slave` is another open file than its users', or not open if they have closed it; nobody else
// reads or writes meanwhile.
Status TakeQueues(const UniqueFd& master, const UniqueFd& slave, terminals::Terminal& terminal);
Status PutQueues(const UniqueFd& master, const UniqueFd& slave,
                 const terminals::Terminal& terminal);

}  // namespace holdfast::warden
