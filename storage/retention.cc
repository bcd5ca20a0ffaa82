// What goes is decided by numbers and names alone, never by clocks:
//
//   newest  the committed checkpoint with the highest number
//   kept    the spared ones, and of those that somebody wants the newest `keep`, with everything
//   that
//           they and their parts name
//   above   whatever has a higher number than the newest also stays: it may be a checkpoint that is
//           being written
//   goes    the rest, manifests first, so that a crash in between leaves no manifest that names
//           something removed
//
// A checkpoint that is being written refers to packs of the newest committed one only
// (job_store.cc), and that one is unwanted only when its job has ended (coordinator/retention.cc).
#include "storage/retention.h"

#include <ranges>
#include <set>

#include "storage/layout.h"

namespace holdfast::storage {
namespace {

// Deletes our objects for which goes(key, name) holds, manifests before all others.
template <typename Goes>
Result<Pruned> DeleteIf(Backend& backend, Goes goes) {
  HOLDFAST_TRY(const auto objects, backend.List(""));
  Pruned pruned;
  for (const bool manifests : {true, false})
    for (const ObjectInfo& object : objects) {
      const auto name = ParseKey(object.key);
      if (!name || (name->kind == ObjectName::Kind::kManifest) != manifests ||
          !goes(object.key, *name))
        continue;
      HOLDFAST_CHECK(backend.Delete(object.key));
      pruned.bytes += object.size_bytes;
      if (manifests && !name->unfinished && object.size_bytes > 0)
        pruned.checkpoints.push_back(name->checkpoint);
    }
  return pruned;
}

}  // namespace

Result<Pruned> PruneCheckpoints(const Job& job, uint32_t keep, const std::set<uint32_t>& spared,
                                const std::set<uint32_t>& unwanted) {
  if (keep == 0) {
    HOLDFAST_TRY(Pruned pruned,
                 DeleteIf(job.backend, [](const auto&, const auto&) { return true; }));
    HOLDFAST_CHECK(job.backend.RemoveIfEmpty());
    return pruned;
  }
  HOLDFAST_TRY(const JobStore::Listing listing, ListCheckpoints(job));
  if (listing.good.empty()) return Pruned{};
  const uint32_t newest = listing.good.back().checkpoint;
  std::set<std::string> named;
  for (const Manifest& manifest : std::views::reverse(listing.good)) {
    const bool wanted = !unwanted.contains(manifest.checkpoint) && keep > 0;
    if (wanted) --keep;
    if (!wanted && !spared.contains(manifest.checkpoint)) continue;
    named.insert(ManifestKey(manifest.checkpoint));
    for (const PartSummary& summary : manifest.AllParts()) {
      // If one cannot be read, what it needs is not known, and nothing is removed.
      HOLDFAST_TRY(const PartPacks part, LoadPacks(job, summary));
      named.insert(summary.name);
      for (const PackRow& pack : part.packs) named.insert(pack.name);
    }
  }
  return DeleteIf(job.backend, [&](const std::string& key, const ObjectName& name) {
    return name.checkpoint <= newest && !named.contains(key);
  });
}

}  // namespace holdfast::storage
