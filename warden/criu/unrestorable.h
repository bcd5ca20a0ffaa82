// What CRIU 4.2 saves and then cannot restore: found in its images, while the job can still go on.
//
// Used by save.cc. Thread-safe.
#pragma once

#include <vector>

#include "base/result.h"
#include "warden/criu/images.h"

namespace holdfast::warden {

// kUnsupported, by name, if there is
//   - a descriptor whose signals go to a thread (F_SETOWN_EX with F_OWNER_TID): there are no
//   threads
//     yet when files are opened;
//   - an epoll that watches a file twice by one of its descriptors, as CRIU sees it if one of two
//     has been closed and its number used again.
Status CheckRestorable(const std::vector<image::file_entry>& files,
                       const std::vector<image::pstree_entry>& processes);

}  // namespace holdfast::warden
