// What CRIU loses of System V objects: that shared memory is marked for removal, and so goes with
// its last user; and that semaphores have been used, which programs take for a sign that another
// process has set them up (sem_otime, semctl(2)).
//
// The part of attributes.cc that is about them. Used while the pod's processes are frozen.
#pragma once

#include "base/result.h"
#include "warden/isolation/pod.h"
#include "warden_images/attributes.pb.h"

namespace holdfast::warden {

Status DescribeSysv(const Pod& pod, attributes::Attributes& all);
Status RestoreSysv(const Pod& pod, const attributes::Attributes& all);

}  // namespace holdfast::warden
