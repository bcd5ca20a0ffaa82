// Storing the contents of a job's files with a checkpoint, so that rollback.h can put them
// back.
//
// Called by pod 0 when every pod of the job is frozen and has flushed what it wrote: only then do
// files that several pods have open, as parallel HDF5 does, stand still (docs/adr/0008). A file
// that did not change since the previous checkpoint is not read again. All accesses are made with
// the identity of the job's user.
#pragma once

#include <string>
#include <vector>

#include "base/identity.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "protocol/job_options.h"
#include "storage/checkpoint.h"

namespace holdfast::warden {

inline constexpr const char* kFilesTable = "files.table";
// Where newer files go: a directory of this name and "JOB-CHECKPOINT".
inline constexpr const char* kSetAsidePrefix = ".holdfast-set-aside-";

struct CaptureOptions {
  RollbackPolicy policy = RollbackPolicy::kAuto;
  std::vector<std::string> directories;  // declared ones, as the pod sees them
  std::string excluded;                  // a directory that is left out: where checkpoints lie
  uint64_t bytes_limit = 0;
  size_t count_limit = 0;
  unsigned threads = 2;
};

struct CaptureSummary {
  size_t read = 0;  // files whose contents were read
  size_t kept = 0;  // files that are as in the previous checkpoint
  uint64_t read_bytes = 0;
  std::vector<std::string> skipped;  // "PATH: why": a restore cannot put these back
};

// `root`: the root directory of pod 0. `open_files`: of all pods; those that this pod does not see
// as they did are skipped, and so is what goes beyond the limits. Fails if a file cannot be read or
// stored.
Result<CaptureSummary> CaptureFiles(const UniqueFd& root, const Identity& owner,
                                    const std::vector<storage::FileRecord>& open_files,
                                    const CaptureOptions& options, storage::PodWriter& writer);

}  // namespace holdfast::warden
