// The parts of `doctor` that look at the machine: each returns its checks. Used by doctor.cc.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/process.h"
#include "cli/doctor.h"
#include "config/config.h"

namespace holdfast::cli {

bool IsRoot();
// Runs a command, found in PATH or where system programs are; in new namespaces if flags
// (CLONE_NEW*) are given.
Result<CommandOutput> RunHere(std::vector<std::string> argv, int unshare_flags = 0);
// What a command wrote, if it ran and succeeded.
Result<std::string> Output(const std::vector<std::string>& argv);
std::string KernelRelease();

// Kernel features and CRIU: what a compute node needs.
std::vector<Check> ExamineKernel();
std::vector<Check> ExamineCriu(const std::string& criu);
// The node's side of job networks.
std::vector<Check> ExamineJobNetwork(uint16_t vxlan_port);
// What jobs reach the outside by.
Check ExamineOutside();
// Slurm's settings and the plugin.
std::vector<Check> ExamineSlurm();

}  // namespace holdfast::cli
