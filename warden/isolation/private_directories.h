// Directories that a pod has to itself on the node's disk, where the site wants it
// (node.private_directories): /var/tmp, or a scratch disk. On the node they lie in
// node.private_place, one below another that only root can enter; in the pod they cover what has
// their path.
//
// Thread-safe, but an object belongs to one thread at a time.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "warden/isolation/locked_directory.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

class PrivateDirectories {
 public:
  // Empty ones, writable for everybody, as /tmp is. `name`: of the pod, unlike any other's on this
  // node. kInvalid or kDenied, naming the setting, if somebody but root decides what is at one of
  // the paths or in the place, or if one path lies in another.
  static Result<PrivateDirectories> Create(const std::string& place, const std::string& name,
                                           const std::vector<std::string>& paths);

  const std::vector<PrivateDirectory>& list() const { return list_; }
  // Those of wardens that were killed, as far as that can be done by then.
  static Status RemoveAbandoned(const std::string& place,
                                std::chrono::steady_clock::time_point until);

  // With all that the pod left there, once it has ended. What cannot be removed by then is left to
  // the next warden on the node.
  Status Remove(std::chrono::steady_clock::time_point until);

 private:
  PrivateDirectories() = default;
  std::optional<LockedDirectory> directory_;
  std::vector<PrivateDirectory> list_;
};

}  // namespace holdfast::warden
