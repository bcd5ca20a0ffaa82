// One file put back (rollback.h), with the calling thread's identity.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "storage/checkpoint.h"
#include "warden_images/rollback.pb.h"

namespace holdfast::warden {

struct PutBackTarget {
  std::string set_aside_name;  // of a directory beside what makes way
  unsigned threads = 2;
};

struct PutBackResult {
  enum What { kUnchanged, kRewritten, kCreated } what = kUnchanged;
  std::string set_aside;  // where a file that had taken its place is now, or empty
};

// `path` is looked up in `directory` as its root, through no symbolic link. Afterwards the file is
// what `file` says, with the contents of the stream. kChanged if something other than a file is
// there.
Result<PutBackResult> PutBack(const UniqueFd& directory, const std::string& path,
                              const rollback::File& file, storage::PodReader& reader,
                              uint32_t stream, const PutBackTarget& target);

// Cuts a file that was only appended to back to its length. False if it has that length. kChanged
// if it is another file or shorter.
Result<bool> CutBack(const UniqueFd& root, const storage::FileRecord& record);

// Renames the file at `path` below the directory to NAME/path there, and returns that path. A file
// that is there already stays: the new one gets a number.
Result<std::string> SetAside(const UniqueFd& directory, const std::string& path,
                             const std::string& name);

}  // namespace holdfast::warden
