// The URLs at which a job's checkpoints may lie (--checkpoint-dir, checkpoint.directory): which
// back end's each is, and whether it is well formed. Each back end says so in its own folder.
//
// libc only, and pure but for FindCheckpoint: the plugin, which is loaded into Slurm's processes,
// uses it too.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "storage/urls/job_name.h"

namespace holdfast::storage {

struct UrlForm {
  std::string_view accepted;              // as messages have it: "/PATH, file:///PATH"
  bool (*is_ours)(std::string_view url);  // by its beginning
  // kInvalid says what is wrong with one of ours. Touches nothing.
  Status (*check)(std::string_view url);
  // FindCheckpoint for one of ours; null: it cannot be told.
  Status (*find)(std::string_view url, std::string_view cluster, uint32_t job,
                 uint32_t checkpoint) = nullptr;
};

// A back end's number in the order of storage/backends.inc; kInvalid names what is accepted if the
// URL is nobody's or is not well formed.
Result<size_t> BackendOfUrl(std::string_view url);
// Refuses what BackendOfUrl refuses.
Status CheckUrl(std::string_view url);
// Fails if it is certain that no job of the cluster with that id has such a checkpoint there (0:
// none at all), or that it is not the calling user's. Where the caller cannot look (a bucket, what
// is not mounted here) it succeeds.
Status FindCheckpoint(std::string_view url, std::string_view cluster, uint32_t job,
                      uint32_t checkpoint);
// Whether a URL begins as one of a back end's does.
bool BeginsLikeUrl(std::string_view url);
// All forms, as messages have them: "/PATH, file:///PATH or ...".
std::string AcceptedUrls();

}  // namespace holdfast::storage
