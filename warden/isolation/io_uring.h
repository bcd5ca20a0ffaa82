// io_uring, which CRIU cannot save, is not to be had in a pod: programs that would use it where
// they can, use something else (docs/adr/0041-no-io-uring.md).
//
// Used by pod_init.cc.
#pragma once

#include "base/result.h"

namespace holdfast::warden {

// For this process and those that it starts, for good: io_uring_setup(2) fails with EPERM, as on a
// machine where it is turned off (kernel.io_uring_disabled). Root's, before it drops its rights.
Status RefuseIoUring();

}  // namespace holdfast::warden
