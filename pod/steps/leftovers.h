// What a subreaper's children have left behind.
#pragma once

namespace holdfast::pod {

// Kills every descendant of this process, which must be a subreaper, and waits until those that are
// its own children are dead. They stay to be reaped.
void KillLeftovers();

}  // namespace holdfast::pod
