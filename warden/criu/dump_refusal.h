// Why CRIU refused, for people: its own words are about itself, and often say little about what in
// the job was the reason. Used by save.cc after a failure.
#pragma once

#include <string>

#include "warden/isolation/pod.h"

namespace holdfast::warden {

// Things the pod's processes have open that CRIU is known not to save, one indented line each, with
// process and remedy; empty if there is none.
std::string ExplainRefusal(const Pod& pod);

}  // namespace holdfast::warden
