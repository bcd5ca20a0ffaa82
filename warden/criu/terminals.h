// The pseudo-terminals of a pod, and what is queued in them: an image of the checkpoint.
//
// CRIU makes the terminals, but reads away what is queued when it dumps, and writes it back at the
// other side, where it is processed a second time ("\n" becomes "\r\n" once more, input is echoed
// once more) and may not fit; then bytes are lost, or a restore waits for ever. So CRIU is kept
// away from it (preload.cc), and it is read and put back here.
//
// Used by save.cc and restore.cc. One thread.
#pragma once

#include <string>

#include "base/result.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

inline constexpr const char* kTerminalsImage = "terminals.table";

// Contents of the image, of a pod that is frozen; empty if nothing needs one.
Result<std::string> SaveTerminals(const Pod& pod);
// Of a pod that has been restored and does not run yet. kCorrupt if it is no such image.
Status RestoreTerminals(const Pod& pod, const std::string& contents);

}  // namespace holdfast::warden
