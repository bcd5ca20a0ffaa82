// sbcast in a pod: a file to every node of the job, which here is to every pod of it, whose /tmp
// Slurm's own does not reach. Its options and messages are Slurm's (sbcast(1) of 24.11); what
// speeds up the way there is without effect.
//
// For each pod it starts a holdfast-rsh that runs the receiving end (kReceiveFile of this program),
// which writes the file with the rights of the job's user.
#pragma once

#include <string>
#include <vector>

namespace holdfast::pod {

// What a script calls as `sbcast`; the exit code.
int RunSbcast(const std::vector<std::string>& arguments);

// The first argument of holdfast-srun at the receiving end.
inline constexpr const char* kReceiveFile = "--receive-file";
// Writes what comes on stdin. Exits with the errno of what fails.
int ReceiveFile(const std::vector<std::string>& arguments);

}  // namespace holdfast::pod
