// Pod 0's part in a commit, and what follows it: Operations of operations.h.
#include <fmt/format.h>

#include <algorithm>

#include "warden/loop/job_files.h"
#include "warden/loop/operations.h"
#include "warden/loop/summaries.h"

namespace holdfast::warden {

using std::chrono::steady_clock;

namespace {

// The job's end waits for it; what is left is removed by the next checkpoint, or by `holdfast
// prune`.
constexpr std::chrono::seconds kTidyLimit{30};

}  // namespace

Status Operations::Commit(const v1::Commit& commit) {
  const auto begin = steady_clock::now();
  const StoreLimit limit(*store_, stands_until_);
  storage::Manifest manifest{.job = job_.name(),
                             .checkpoint = commit.checkpoint(),
                             .unix_ms = UnixMs(),
                             .uid = job_.owner().uid,
                             .gid = job_.owner().gid};
  for (const NetworkPeer& peer : network_options_.peers)
    manifest.hostnames.push_back(peer.hostname);
  for (const v1::Part& part : commit.parts()) {
    HOLDFAST_TRY(storage::PartSummary summary, FromPart(part));
    manifest.parts.push_back(std::move(summary));
  }
  HOLDFAST_TRY(const storage::WriteOptions how, HowToWrite());
  HOLDFAST_TRY(manifest.files, SaveFiles(job_, *pod_, *store_, commit, how, events_));
  manifest_ = std::move(manifest);
  keep_ = std::max(1U, commit.keep());
  files_took_ = steady_clock::now() - begin;
  return {};
}

Status Operations::Seal(steady_clock::time_point deadline) {
  const auto begin = steady_clock::now();
  const storage::Manifest& manifest = manifest_;
  if (frozen_) HOLDFAST_CHECK(frozen_->StillFrozen());
  // From then on a pod may go on by itself.
  if (begin >= deadline) return Fail(Code::kTimeout, "the manifest could not be written in time");
  const StoreLimit limit(*store_, std::min(deadline, stands_until_));
  if (Status written = store_->Commit(manifest); !written) {
    // The manifest may be there all the same: a file server can lose an answer.
    const bool conflict = written.error().code() == Code::kConflict;
    if (conflict || !store_->ReadManifest(manifest.checkpoint)) return written;
  }
  Tell("committed", steady_clock::now() - begin + files_took_, "");
  committed_ = manifest.checkpoint;
  std::vector<v1::Saved>& saved = inventory_.saved;
  saved.push_back(ToSaved(manifest));
  if (saved.size() > keep_) saved.erase(saved.begin(), saved.end() - keep_);
  return {};
}

Status Operations::Tidy() {
  const StoreLimit limit(*store_, steady_clock::now() + kTidyLimit);
  return store_->Prune(keep_).transform([](const auto&) {});
}

Status Operations::RemoveCheckpoints() {
  const StoreLimit limit(*store_, steady_clock::now() + kTidyLimit);
  return store_->Prune(0).transform([](const auto&) {});
}

}  // namespace holdfast::warden
