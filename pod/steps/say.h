// What srun says to its user on stderr, a line at a time, as Slurm's does.
#pragma once

#include <string_view>
#include <vector>

#include "pod/steps/options.h"

namespace holdfast::pod {

// "srun: LINE".
void Say(std::string_view line);
void Say(const Complaint& complaint);

}  // namespace holdfast::pod
