// The job's files that are not saved with the pod: what they were like when it was frozen, and
// whether they still are so. CRIU opens files by path at restore; processes that go on over a file
// that is not the one they knew would compute nonsense, so one that has changed and cannot be put
// back (rollback.h) stops the restore.
//
// All accesses are made with the identity of the pod's owner. Used by save.cc and rollback.cc.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "storage/checkpoint.h"
#include "warden/criu/images.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

// Records of the regular files outside the private directories that the pod's processes have open
// (or mapped) for writing; what they wrote is on disk when it returns, so that the loss of this
// node cannot take back what the checkpoint counts on. `deleted` are ids of files without a name.
Result<std::vector<storage::FileRecord>> RecordFiles(
    const Pod& pod, const std::vector<image::file_entry>& files,
    const std::vector<image::remap_file_path_entry>& deleted,
    const std::vector<std::string>& output_paths);

// kChanged, saying how, unless the file is as it was. `root`: the pod's root directory; with the
// calling thread's identity.
Status CheckUnchanged(const UniqueFd& root, const storage::FileRecord& record);

}  // namespace holdfast::warden
