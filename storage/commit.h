// The commit protocol on a job's objects: which checkpoints exist, and how one comes into being.
//
// A checkpoint exists if a manifest of its number exists, is authentic and names parts that are
// there. Commit and Discard both want that one key, and the back end gives it to exactly one of
// them: Discard puts an empty object there, so that a commit which was under way elsewhere, or
// comes late, cannot make a checkpoint of what is being removed.
//
// Numbers only grow: nothing is written or committed below the newest committed checkpoint. So
// whatever has a lower number is either named by a manifest or debris (retention.cc).
#pragma once

#include <optional>

#include "base/result.h"
#include "storage/backend.h"
#include "storage/checkpoint.h"
#include "storage/part.h"

namespace holdfast::storage {

struct Job {
  Backend& backend;
  const Keys& keys;
  JobName name;
  uid_t uid = 0;
};

// kNotFound if there is none or it was discarded.
Result<Manifest> LoadManifest(const Job& job, uint32_t checkpoint);
Result<JobStore::Listing> ListCheckpoints(const Job& job);
// The newest that is good, if there is one.
Result<std::optional<Manifest>> NewestCheckpoint(const Job& job);
Status CommitCheckpoint(const Job& job, const Manifest& manifest);
Status DiscardCheckpoint(const Job& job, uint32_t checkpoint);
// A part that a manifest names: kCorrupt unless it has that digest, kDenied if it is encrypted and
// the key is missing.
Result<Part> LoadPart(const Job& job, const PartSummary& summary);
// The packs of such a part, whether it is encrypted or not.
struct PartPacks {
  std::vector<PackRow> packs;
  bool sealed = false;
};
Result<PartPacks> LoadPacks(const Job& job, const PartSummary& summary);

}  // namespace holdfast::storage
