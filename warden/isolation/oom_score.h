// Whom the kernel kills when the job's memory limit is reached (proc_pid_oom_score_adj(5)): CRIU
// first, whose death harms nobody; then the job's own processes, as without Holdfast; the warden,
// whose death is the pod's, last.
#pragma once

#include <sys/types.h>

#include "base/result.h"

namespace holdfast::warden {

inline constexpr int kKilledFirst = 1000;
inline constexpr int kKilledLast = -1000;

Result<int> OomScoreAdjOf(pid_t pid);
// Of the calling process. To lower it takes CAP_SYS_RESOURCE.
Status SetOomScoreAdj(int score);

}  // namespace holdfast::warden
