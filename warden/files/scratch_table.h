// What saving a pod's private files (scratch.cc) and restoring them (scratch_restore.cc) have in
// common: the table. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/identity.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "warden/isolation/pod.h"
#include "warden_images/scratch.pb.h"

namespace holdfast::warden {

inline constexpr uint32_t kScratchVersion = 1;

// A part of one file's data, at most one extent long.
struct ScratchPiece {
  size_t entry;
  uint64_t offset;  // in the file
  uint64_t size_bytes;
};

// All pieces of the files in a table, in order. Takes memory for each run, however long it is.
class ScratchPieces {
 public:
  explicit ScratchPieces(const scratch::Table& table);
  size_t count() const { return count_; }
  uint64_t size_bytes() const { return size_bytes_; }
  ScratchPiece At(size_t index) const;

 private:
  struct Run {
    size_t first_piece, entry;
    uint64_t begin, end;  // in the file
  };
  std::vector<Run> runs_;
  size_t count_ = 0;
  uint64_t size_bytes_ = 0;
};

// The entry's path in the pod.
std::string InRoot(const scratch::Table& table, const scratch::Entry& entry);
// Nothing can be restored that the owner could not make.
Status CheckOwner(const scratch::Table& table, const scratch::Entry& entry, const Identity& owner);
// Those of the table's directories that the pod has; the others are not valid.
Result<std::vector<UniqueFd>> OpenRoots(const Pod& pod, const scratch::Table& table);

}  // namespace holdfast::warden
