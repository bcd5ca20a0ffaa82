// Which job's checkpoints. An id alone does not say: two clusters may keep theirs in one directory,
// and the ids of one may start again (a lost StateSaveLocation, FirstJobId). So a job goes by its
// cluster, its id and the time at which it was submitted (docs/adr/0034-names-of-jobs.md).
//
// libc only, because the plugin uses it. Values; pure.
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace holdfast::storage {

struct JobName {
  std::string cluster;
  uint32_t id = 0;
  // SubmissionTime. Empty, as is `cluster`: the job was submitted by a release that told neither,
  // and its checkpoints lie where such releases keep them.
  std::string submitted;

  bool operator==(const JobName&) const = default;

  // Under the --checkpoint-dir: "lab-4242-20261128T004824Z", or "4242" of old.
  std::string Directory() const;
  // "job 4242 of cluster lab, submitted 20261128T004824Z"
  std::string Text() const;
};

// Of what is known of a job. If no time of submission is, its cluster is of no use: the release
// that it was submitted by put neither into its checkpoints.
JobName NameOfJob(std::string_view cluster, uint32_t id, std::string_view submitted);
// What Directory gave; nothing for any other name.
std::optional<JobName> ParseJobDirectory(std::string_view directory);
// What the directories of a cluster's jobs of that id begin with.
std::string JobDirectoryPrefix(std::string_view cluster, uint32_t id);

// In UTC, so that later ones are greater: "20261128T004824Z".
std::string SubmissionTime(std::time_t time);
// Whether it has that form.
bool IsSubmissionTime(std::string_view text);
// kUnsupported, naming what is accepted, for what cannot be part of a file's and an object's name.
Status CheckCluster(std::string_view cluster);

}  // namespace holdfast::storage
