// Ending as another process ended, so that whoever waits cannot tell the difference.
#pragma once

#include "base/process.h"

namespace holdfast::pod {

// Exits with the code, or dies of the signal (leaving no core file of this process).
[[noreturn]] void ExitLike(const ExitStatus& status);

}  // namespace holdfast::pod
