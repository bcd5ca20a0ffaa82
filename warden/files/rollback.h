// Putting a job's files back to what they were at the checkpoint that is being restored, before
// CRIU opens them (it insists on their sizes).
//
// Each pod puts back the files that it had open, the leader (pod 0) those of the declared
// directories too. Several pods may do so with one shared file at a time: all write the same bytes,
// and nothing of the job runs. Interrupted anywhere, it is done again by the next restore.
//
// Files are rewritten in place, only where they differ, so that links to them and holes in them
// stay. What must make way (files that are newer, or have taken the place of another) is renamed
// into a directory .holdfast-set-aside-JOB-CHECKPOINT, never deleted. All accesses are made with
// the identity of the job's user, and no symbolic link is followed.
#pragma once

#include <string>
#include <vector>

#include "base/identity.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "storage/checkpoint.h"
#include "warden/files/capture.h"

namespace holdfast::warden {

struct RollbackOptions {
  RollbackPolicy policy = RollbackPolicy::kAuto;
  bool leader = false;
  uint32_t job_id = 0;
  uint32_t checkpoint = 0;
  std::string excluded;  // as in CaptureOptions
  unsigned threads = 2;
};

// Paths of what was done.
struct RollbackReport {
  std::vector<std::string> rewritten;  // contents or length
  std::vector<std::string> cut;        // appended to since
  std::vector<std::string> created;    // missing
  std::vector<std::string> set_aside;  // where they are now
  bool output_cut = false;             // the job's own output

  // "3 files to checkpoint 4 (...)", or nothing if no file but the job's output was touched.
  std::string Summary(uint32_t checkpoint) const;
};

// `root`: the pod's root directory. `files`: the files' part of the checkpoint, or null. kChanged,
// naming the file, if one can neither be put back nor is as it was.
Result<RollbackReport> RollBackFiles(const UniqueFd& root, const Identity& owner,
                                     const std::vector<storage::FileRecord>& open_files,
                                     storage::PodReader* files, const RollbackOptions& options);

}  // namespace holdfast::warden
