// The site's own srun and sbcast, which ours stand over (warden/isolation/pod_init.cc), for what is
// not this job; and what Slurm's configuration says.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace holdfast::pod {

// Becomes it. Returns only if it cannot, having said why.
int BecomeSite(const std::string& name, const char* path,
               const std::vector<std::string>& arguments);

// A value of slurm.conf, if this node has the file.
std::optional<std::string> SlurmSetting(const std::string& name);

}  // namespace holdfast::pod
