// holdfast-pmix: a PMIx server for the tasks of a step on one node, by OpenPMIx's own library. A
// child of the step's daemon, dynamically linked and apart from it, so that a site without the
// library has srun all the same, and none of the library's threads are in a process that forks.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::pod {

// Serves until the daemon closes `connection` (pmix_link.h). An error if it never could.
Status ServePmix(UniqueFd connection);

}  // namespace holdfast::pod
