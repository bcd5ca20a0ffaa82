// Removing a tree that a job's user filled, however deep and wide it is, in memory that does not
// grow with it: it counts against another job's. Thread-safe.
#pragma once

#include <chrono>
#include <string>

#include "base/result.h"

namespace holdfast::warden {

// Follows no symbolic link, whatever happens to the tree meanwhile. Success if it does not exist;
// kTimeout if the time was over before: what is left can be removed later.
Status RemoveFilled(const std::string& path, std::chrono::steady_clock::time_point until);

}  // namespace holdfast::warden
