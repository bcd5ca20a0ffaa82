// Which nodes are as unfit for a job as one that was tried. A site describes its kinds of nodes by
// features (Slurm's Features): nodes with the same ones are of the same kind, if those that the
// job could run on have others. Pure.
#pragma once

#include <string>
#include <vector>

#include "coordinator/evacuations.h"
#include "coordinator/event.h"

namespace holdfast::coordinator {

// All but the unfit node itself; none, if features do not tell it from the fit ones.
std::vector<std::string> KinOf(const FindKin& find, const std::vector<NodeRecord>& nodes);

}  // namespace holdfast::coordinator
