// The job's files in the operations of its wardens: what pods tell of them, storing them before a
// commit, and telling the user what a restore has put back. Called by operations.cc.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "protocol/holdfast.pb.h"
#include "storage/checkpoint.h"
#include "warden/checkpoint/save.h"
#include "warden/files/rollback.h"
#include "warden/isolation/pod.h"
#include "warden/loop/job.h"

namespace holdfast::warden {

RollbackOptions RollbackOptionsOf(const Job& job, uint32_t checkpoint);

// Puts the records into the pod's part of Prepared. Only so many that a Commit with all pods' parts
// fits into one message; returns how many were left out.
size_t DescribeFiles(const std::vector<storage::FileRecord>& files, uint32_t pods, v1::Part& part);

// Pod 0, with every pod frozen and flushed: writes the files' part of the checkpoint. Nothing if
// the job has no files to store.
Result<std::optional<storage::PartSummary>> SaveFiles(const Job& job, const Pod& pod,
                                                      storage::JobStore& store,
                                                      const v1::Commit& commit,
                                                      const storage::WriteOptions& options,
                                                      const EventSink& events);

// Appends a line to the job's output, if that is a file.
Status TellJob(const Job& job, const Pod& pod, const std::string& text);

}  // namespace holdfast::warden
