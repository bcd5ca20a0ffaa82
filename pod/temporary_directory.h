// TMPDIR in a pod: what a prolog or Slurm made on the node is not seen where the pod has a
// directory of its own. Used by what starts programs there, as the user. Thread-safe.
#pragma once

#include <string>
#include <vector>

namespace holdfast::pod {

// Makes the directory that TMPDIR names, with its parents, if it is not there: Slurm's step daemon
// does so, too (_make_tmpdir in src/slurmd/slurmstepd/task.c of Slurm 24.11). If that cannot be,
// the program finds it missing.
void MakeTemporaryDirectory(const std::vector<std::string>& environment);

}  // namespace holdfast::pod
