// Where the images of a restore lie until CRIU has read them: memory of processes, in the clear.
//
// Used by restore.cc. Thread-safe.
#pragma once

#include <string>

#include "base/identity.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "warden/isolation/locked_directory.h"

namespace holdfast::warden {

// The owner's, for CRIU, below one that only root can enter.
class WorkDirectory {
 public:
  static Result<WorkDirectory> Create(const std::string& path, const Identity& owner);
  // What CRIU works in.
  const UniqueFd& fd() const { return images_; }

 private:
  explicit WorkDirectory(LockedDirectory directory) : directory_(std::move(directory)) {}
  LockedDirectory directory_;
  UniqueFd images_;
};

}  // namespace holdfast::warden
