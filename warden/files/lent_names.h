// Private files that processes have open or mapped under a name that is gone, while another name of
// theirs is there. Named semaphores are made so (sem_open(3) makes a file under a temporary name
// and links it to its own): every Python program with multiprocessing has some. CRIU opens files by
// the name they were opened by, so they are lent that name for the time of a save, and again for
// the time of a restore.
//
// Used by save.cc. One thread.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

class LentNames {
 public:
  // Makes the names, and takes them back when it is destroyed. The pod runs meanwhile; what it does
  // to its files in between, CRIU finds out.
  static Result<LentNames> Lend(const Pod& pod);
  LentNames(LentNames&&) = default;
  LentNames& operator=(LentNames&&) = delete;
  ~LentNames();

  // Paths as /proc shows them, with its " (deleted)", under which CRIU finds the files now, and the
  // paths under which they are to be saved: the same without it, unless that is somebody else's.
  const std::map<std::string, std::string>& saved_as() const { return saved_as_; }

 private:
  explicit LentNames(UniqueFd root) : root_(std::move(root)) {}
  Status LendOne(const Pod& pod, const std::string& link);

  UniqueFd root_;
  std::map<std::string, std::string> saved_as_;
};

}  // namespace holdfast::warden
