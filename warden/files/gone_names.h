// Files of the job whose names are gone while processes have them open or mapped. (Those of the
// pod's private directories are lent_names.h's.)
//
// One that has another name in the directory where it was opened (log rotation with links, backup
// tools, git) is saved under that name. One that has none is saved by CRIU with its contents, and
// at a restore made anew beside where it was ("ghost"), opened, and removed again.
//
// Used by save.cc and restore.cc, as root; directories are read and changed as the pod's owner.
#pragma once

#include <vector>

#include "base/result.h"
#include "warden/criu/images.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

// What CRIU's images say of files.
struct FileImages {
  std::vector<image::file_entry> files;
  std::vector<image::remap_file_path_entry> remaps;
};

// The pod is frozen. Replaces the names that CRIU believes to have made (preload_links.cc) by names
// that are there. kUnsupported, naming the file, if it has none that can be found.
Status UseOtherNames(const Pod& pod, FileImages& images);

// Removes the names that an interrupted restore of this checkpoint may have left, which would make
// the next one fail.
Status RemoveGhosts(const Pod& pod, const FileImages& images);

}  // namespace holdfast::warden
