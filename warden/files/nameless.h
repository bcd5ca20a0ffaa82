// Files that never had a name (O_TMPFILE, open(2)), and may still get one: the kernel gives names
// only to those that were opened so. CRIU saves them like files whose names are gone, and would
// make them anew with a name that it removes. So they are opened here, in the directory that they
// were opened in, and a library in `criu restore` (warden/criu/preload_nameless.cc) has CRIU fill
// and open these.
//
// Where that cannot be, CRIU does as it would: the contents come, a name can no longer be given.
//
// Used by restore.cc, as root; files are opened as the pod's owner.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "warden/criu/criu.h"
#include "warden/files/gone_names.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

class NamelessFiles {
 public:
  // `directory`: CRIU's images.
  static Result<NamelessFiles> Open(const Pod& pod, const FileImages& files,
                                    const UniqueFd& directory);

  bool empty() const { return files_.empty(); }
  // Makes them known to the library.
  void GiveTo(CriuRun& run) const;
  // Once CRIU has written into them.
  Status SetTimes() const;

 private:
  struct Nameless {
    uint32_t ghost;  // CRIU's number of it
    UniqueFd file;
    image::ghost_file_entry entry;
  };
  std::vector<Nameless> files_;
};

}  // namespace holdfast::warden
