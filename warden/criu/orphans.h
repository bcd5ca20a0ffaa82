// Processes whose parent has ended, and that another process has adopted: a subreaper
// (PR_SET_CHILD_SUBREAPER), as pod-root is and the daemon of a step.
//
// An adopted process may be of a session whose leader is not above it. CRIU 4.2 brings such ones
// back by a helper in that session, which forks them and ends (criu/pstree.c,
// prepare_pstree_ids). But it does so for children of the tree's root alone, and gives up with
// all others; and it makes subreapers of processes only when helpers have ended, so that PID 1 of
// the pod adopts what the helpers leave, and that is in no tree that can be saved.
//
// So CRIU gets a tree in which they are all children of the root, and those that are to adopt them
// again are subreapers from their beginning (preload_orphans.cc).
//
// Used by save.cc and restore.cc. Thread-safe as pure functions are.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "warden/criu/images.h"

namespace holdfast::warden {

struct Orphans {
  std::vector<image::pstree_entry> processes;  // for CRIU
  std::set<uint32_t> adopters;                 // the root among them

  std::string Image() const;
  // kAdoptersVariable and its value.
  std::string Variable() const;
};

// `processes`: those of pstree.img.
Orphans PlaceOrphans(std::vector<image::pstree_entry> processes);

// kUnsupported, by name, if there is a process that would have another parent after a restore: its
// parent has left the session in which it began, and nobody above it has to do with that; or a
// subreaper of the job's own has adopted it, and the session's leader has ended.
Status CheckOrphans(const std::vector<image::pstree_entry>& processes);

}  // namespace holdfast::warden
