#include "warden/loop/origin.h"

#include <fmt/format.h>

#include <ranges>

#include "storage/site.h"

namespace holdfast::warden {

// Where several jobs have had that id, the last of them that has anything to do with this user.
Result<std::unique_ptr<storage::JobStore>> Operations::OpenOther(uint32_t id) const {
  const std::string& directory = job_.options.directory;
  const config::Cloud cloud = storage::CloudSettings(job_.config);
  HOLDFAST_TRY(const auto jobs, storage::JobStore::JobsOf(directory, job_.environment.cluster, id,
                                                          job_.owner(), cloud));
  Error problem(Code::kNotFound, fmt::format("job {} has no checkpoint in {}", id, directory));
  for (const storage::JobName& job : jobs | std::views::reverse) {
    HOLDFAST_TRY(auto store,
                 storage::JobStore::Open(directory, job, job_.owner(), job_.keys, cloud));
    const auto listing = store->List();
    if (listing && (!listing->good.empty() || !listing->bad.empty())) return store;
    if (listing) continue;
    if (listing.error().code() != Code::kDenied) return std::unexpected(listing.error());
    problem = listing.error();  // another user's
  }
  return std::unexpected(std::move(problem));
}

Result<Operations::Origin> Operations::FindOrigin(const v1::Welcome& welcome) {
  Origin origin;
  storage::JobStore* store = store_.get();
  if (welcome.restore_job() != job_.id()) {
    HOLDFAST_TRY(origin.other, OpenOther(welcome.restore_job()));
    store = origin.other.get();
  }
  uint32_t checkpoint = welcome.restore_checkpoint();
  if (checkpoint == 0) {
    HOLDFAST_TRY(const auto listing, store->List());
    if (listing.good.empty())
      return Fail(Code::kNotFound, fmt::format("job {} has no checkpoint in {}",
                                               welcome.restore_job(), job_.options.directory));
    checkpoint = listing.good.back().checkpoint;
  }
  checkpoint_ = checkpoint;
  log_path_ = job_.CheckpointLogs(checkpoint) + "/restore.log";
  HOLDFAST_TRY(origin.manifest, store->ReadManifest(checkpoint));
  const storage::Manifest& manifest = origin.manifest;
  if (manifest.uid != job_.owner().uid)
    return Fail(Code::kDenied, fmt::format("checkpoint {} belongs to uid {}, the job to uid {}",
                                           checkpoint, manifest.uid, job_.owner().uid));
  if (manifest.parts.size() != job_.environment.pods ||
      manifest.hostnames.size() != manifest.parts.size())
    return Fail(Code::kInvalid,
                fmt::format("checkpoint {} is of a job on {} nodes, this one has {}: give it as "
                            "many",
                            checkpoint, manifest.parts.size(), job_.environment.pods));
  HOLDFAST_TRY(origin.reader, store->Read(manifest, job_.pod()));
  if (manifest.files) {
    HOLDFAST_TRY(origin.files, store->Read(manifest, manifest.files->pod));
  }
  return origin;
}

}  // namespace holdfast::warden
