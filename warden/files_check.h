// The job's files that are not saved with the pod: what they were like when it was frozen, and
// whether they still are so. CRIU opens files by path at restore; processes that go on over a file
// that is not the one they knew would compute nonsense, so a changed file stops the restore.
//
// All accesses are made with the identity of the pod's owner. Used by dump and restore.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "storage/checkpoint.h"
#include "warden/images.h"
#include "warden/pod.h"

namespace holdfast::warden {

// Records of the regular files outside the private directories that the pod's processes have open
// (or mapped) for writing; what they wrote is on disk when it returns, so that the loss of this
// node cannot take back what the checkpoint counts on. `deleted` are ids of files without a name.
Result<std::vector<storage::FileRecord>> RecordFiles(
    const Pod& pod, const std::vector<image::file_entry>& files,
    const std::vector<image::remap_file_path_entry>& deleted,
    const std::vector<std::string>& output_paths);

// kChanged, naming the file, unless every file is as it was. The job's own output may have grown:
// it is cut back to its length then.
Status CheckFiles(const Pod& pod, const std::vector<storage::FileRecord>& files);

}  // namespace holdfast::warden
