// Where the images of a restore lie until CRIU has read them: memory of processes, in the clear.
// The directory goes with its warden; if that is killed, the next one on the node removes it.
//
// Used by restore.cc and the warden's main. Thread-safe.
#pragma once

#include <string>
#include <utility>

#include "base/identity.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::warden {

// The owner's, for CRIU, below one that only root can enter.
class WorkDirectory {
 public:
  static Result<WorkDirectory> Create(const std::string& path, const Identity& owner);
  WorkDirectory(WorkDirectory&& other) noexcept
      : path_(std::exchange(other.path_, "")),
        lock_(std::move(other.lock_)),
        images_(std::move(other.images_)) {}
  WorkDirectory& operator=(WorkDirectory&&) = delete;
  ~WorkDirectory();
  // What CRIU works in.
  const UniqueFd& fd() const { return images_; }

 private:
  WorkDirectory() = default;
  std::string path_;
  UniqueFd lock_;  // tells that somebody works here
  UniqueFd images_;
};

// Removes the work directories in `parent` in which nobody works any more.
Status RemoveAbandoned(const std::string& parent);

}  // namespace holdfast::warden
