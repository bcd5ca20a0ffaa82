// What the values of srun's options mean: the functions that the table (option_table.cc) names.
#pragma once

#include "pod/steps/option_table.h"

namespace holdfast::pod {

// A whole number, not below `least`.
std::expected<uint32_t, Complaint> Count(const char* option, const std::string& value,
                                         uint32_t least);

Applied SetNodes(Options& o, const std::string& value);
Applied SetDistribution(Options& o, const std::string& value);
Applied SetNodeMemory(Options& o, const std::string& value);
Applied SetCpuMemory(Options& o, const std::string& value);
Applied SetBinding(Options& o, const std::string& value);
Applied SetHint(Options& o, const std::string& value);
Applied SetTime(Options& o, const std::string& value);
Applied SetSignal(Options& o, const std::string& value);
Applied SetOpenMode(Options& o, const std::string& value);
Applied SetKillOnBadExit(Options& o, const std::string& value);
Applied SetImmediate(Options& o, const std::string& value);
Applied SetHostFile(Options& o, const std::string& value);
Applied SetHostFileVariable(Options& o, const std::string& value);
Applied SetGres(Options& o, const std::string& value);
Applied SetTasksResources(Options& o, const std::string& value);
Applied SetMpi(Options& o, const std::string& value);
Applied SetVerbosity(Options& o, const std::string& value);
Applied SetBroadcast(Options& o, const std::string& value);
Applied SetExclusive(Options& o, const std::string& value);
Applied SetPropagate(Options& o, const std::string& value);
Applied Refuse(Options& o, const std::string& value);

}  // namespace holdfast::pod
