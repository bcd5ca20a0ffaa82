// A directory of a warden's on its node, in which there may be a lot of a job's. It goes with its
// warden; if that is killed, the next one on the node removes it.
//
// Thread-safe, but an object belongs to one thread at a time.
#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::warden {

class LockedDirectory {
 public:
  // New and empty; only root can enter it. What was there under this name is removed. The name is
  // of numbers with "-" between them: nothing else is taken for abandoned, whatever is in its
  // parent.
  static Result<LockedDirectory> Create(const std::string& path);
  LockedDirectory(LockedDirectory&& other) noexcept
      : path_(std::exchange(other.path_, "")), lock_(std::move(other.lock_)) {}
  LockedDirectory& operator=(LockedDirectory&&) = delete;
  ~LockedDirectory();  // Remove, however long it takes

  const std::string& path() const { return path_; }
  // What cannot be removed by then is left to RemoveAbandoned.
  Status Remove(std::chrono::steady_clock::time_point until);

 private:
  LockedDirectory() = default;
  std::string path_;
  UniqueFd lock_;  // tells that somebody works here
};

// Removes those in `parent` whose wardens are gone, as far as that can be done by then.
Status RemoveAbandoned(const std::string& parent, std::chrono::steady_clock::time_point until);

}  // namespace holdfast::warden
