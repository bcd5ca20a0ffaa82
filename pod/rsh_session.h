// One command that holdfast-rsh asked for: the process that stands between its connection and its
// pipes, on the side of the command. A child of pod-root (`pod-root --session FD`).
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::pod {

// Serves the connection to its end. Signals that this process gets are passed on to the command; if
// the connection breaks the command is told by SIGHUP, as by any hang-up.
Status ServeRsh(UniqueFd connection);

}  // namespace holdfast::pod
