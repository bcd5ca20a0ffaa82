// What goes is decided by numbers and names alone, never by clocks:
//
//   newest  the committed checkpoint with the highest number
//   kept    the newest `keep` committed checkpoints and the spared ones, with everything that they
//           and their parts name
//   above   whatever has a higher number than the newest also stays: it may be a checkpoint that is
//           being written
//   goes    the rest, manifests first, so that a crash in between leaves no manifest that names
//           something removed
//
// A checkpoint that is being written refers to packs of the newest committed one only
// (job_store.cc), and that one is always kept.
#include "storage/retention.h"

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

Result<Pruned> PruneCheckpoints(const Job& job, uint32_t keep, const std::set<uint32_t>& spared) {
  if (keep == 0) {
    HOLDFAST_TRY(Pruned pruned,
                 DeleteIf(job.backend, [](const auto&, const auto&) { return true; }));
    HOLDFAST_CHECK(job.backend.RemoveIfEmpty());
    return pruned;
  }
  HOLDFAST_TRY(const JobStore::Listing listing, ListCheckpoints(job));
  if (listing.good.empty()) return Pruned{};
  const uint32_t newest = listing.good.back().checkpoint;
  const size_t first = listing.good.size() > keep ? listing.good.size() - keep : 0;
  std::set<std::string> named;
  for (size_t i = 0; i < listing.good.size(); ++i) {
    const Manifest& manifest = listing.good[i];
    if (i < first && !spared.contains(manifest.checkpoint)) continue;
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
