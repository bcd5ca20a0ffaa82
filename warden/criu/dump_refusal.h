// Why CRIU refused, for people: its own words are about itself, and often say little about what in
// the job was the reason. Used by save.cc after a failure.
#pragma once

#include <string>
#include <string_view>

#include "warden/isolation/pod.h"

namespace holdfast::warden {

// Things the pod's processes have open that CRIU is known not to save, or that are known by
// `words`, CRIU's own: one indented line each, with process and remedy; empty if there is none.
std::string ExplainRefusal(const Pod& pod, std::string_view words);

}  // namespace holdfast::warden
