#include "storage/job_store.h"

#include <fmt/format.h>

#include <map>

#include "base/log.h"
#include "storage/budget.h"
#include "storage/commit.h"
#include "storage/layout.h"
#include "storage/pod_reader.h"
#include "storage/pod_writer.h"
#include "storage/registry.h"
#include "storage/retention.h"

namespace holdfast::storage {
namespace {

class JobStoreImpl : public JobStore {
 public:
  JobStoreImpl(std::shared_ptr<Backend> backend, JobName name, uid_t uid, const Keys& keys)
      : backend_(std::move(backend)), keys_(keys), job_{*backend_, keys_, std::move(name), uid} {}

  void SetDeadline(std::chrono::steady_clock::time_point deadline) override {
    backend_->SetDeadline(deadline);
  }
  void SetLimit(std::chrono::steady_clock::time_point limit) override { backend_->SetLimit(limit); }
  Status Prepare() override { return backend_->Prepare(); }

  Result<std::unique_ptr<PodWriter>> Write(uint32_t checkpoint, uint32_t pod,
                                           const WriteOptions& options) override {
    HOLDFAST_TRY(const auto newest, NewestCheckpoint(job_));
    if (checkpoint == 0 || (newest && newest->checkpoint >= checkpoint))
      return Fail(Code::kConflict,
                  fmt::format("writing checkpoint {} of {}: the newest is {}", checkpoint,
                              job_.name.Text(), newest ? newest->checkpoint : 0));
    HOLDFAST_CHECK(RemoveEarlierAttempt(checkpoint, pod));
    std::optional<PreviousPart> previous;
    // Only the newest, because only of that one retention promises to keep all packs.
    if (newest)
      if (const auto parts = newest->AllParts(); pod < parts.size())
        previous = LoadPrevious(parts[pod], options);
    return MakePodWriter({backend_, job_.name, checkpoint, pod, SealingKey()}, std::move(previous),
                         options);
  }

  Status Commit(const Manifest& manifest) override { return CommitCheckpoint(job_, manifest); }
  Status Discard(uint32_t checkpoint) override { return DiscardCheckpoint(job_, checkpoint); }
  Result<Listing> List() override { return ListCheckpoints(job_); }
  Result<Manifest> ReadManifest(uint32_t checkpoint) override {
    return LoadManifest(job_, checkpoint);
  }
  Result<Pruned> Prune(uint32_t keep, const std::set<uint32_t>& spared,
                       const std::set<uint32_t>& unwanted) override {
    return PruneCheckpoints(job_, keep, spared, unwanted);
  }

  Result<std::unique_ptr<PodReader>> Read(const Manifest& manifest, uint32_t pod) override {
    const auto parts = manifest.AllParts();
    if (pod >= parts.size())
      return Fail(Code::kInvalid, fmt::format("reading pod {} of checkpoint {}: it has {} pods",
                                              pod, manifest.checkpoint, manifest.parts.size()));
    HOLDFAST_TRY(Part part, LoadPart(job_, parts[pod]));
    return MakePodReader(backend_, std::move(part));
  }

  Result<Verified> Verify(const Manifest& manifest, unsigned threads) override {
    Verified verified;
    for (const PartSummary& summary : manifest.AllParts()) {
      HOLDFAST_TRY(const PartPacks packs, LoadPacks(job_, summary));
      HOLDFAST_CHECK(CheckPacks(packs.packs));
      if (packs.sealed && keys_.encryption.keys.empty()) {
        verified.contents = false;
        continue;
      }
      HOLDFAST_TRY(Part part, LoadPart(job_, summary));
      HOLDFAST_TRY(const uint64_t read_bytes, VerifyBlobs(*backend_, std::move(part), threads));
      verified.read_bytes += read_bytes;
    }
    return verified;
  }

 private:
  std::optional<SiteKey> SealingKey() const {
    const auto& keys = keys_.encryption.keys;
    return keys.empty() ? std::nullopt : std::optional(keys.front());
  }

  Status CheckPacks(const std::vector<PackRow>& packs) {
    for (const PackRow& pack : packs) {
      HOLDFAST_TRY(const auto object, backend_->Open(pack.name));
      if (object->size_bytes() != pack.size_bytes)
        return Fail(Code::kCorrupt, fmt::format("{}: it has {} bytes, and {} were written",
                                                backend_->Describe(pack.name), object->size_bytes(),
                                                pack.size_bytes));
    }
    return {};
  }

  // What this pod wrote for that number before, in a process that died.
  Status RemoveEarlierAttempt(uint32_t checkpoint, uint32_t pod) {
    HOLDFAST_TRY(const auto objects, backend_->List("pa"));  // parts/ and packs/
    for (const ObjectInfo& object : objects) {
      const auto name = ParseKey(object.key);
      if (name && name->checkpoint == checkpoint && name->pod == pod)
        HOLDFAST_CHECK(backend_->Delete(object.key));
    }
    return {};
  }

  // Without it everything is stored again: slower, not wrong.
  std::optional<PreviousPart> LoadPrevious(const PartSummary& summary,
                                           const WriteOptions& options) {
    const auto objects = backend_->List("packs/");
    auto part = LoadPartWithin(summary, options);
    if (!objects || !part) {
      log::Failure("storage.compare", part ? objects.error() : part.error(),
                   {{"job", job_.name.id}});
      return std::nullopt;
    }
    std::map<std::string, uint64_t> sizes;
    for (const ObjectInfo& object : *objects) sizes[object.key] = object.size_bytes;
    PreviousPart previous{
        .part = *std::move(part), .usable = {}, .image = [this, summary](const std::string& name) {
          return PreviousImage(summary, name);
        }};
    // What a save asks for is read when it does, and the rest is not needed.
    previous.part.images.clear();
    for (const PackRow& pack : previous.part.packs) {
      const auto found = sizes.find(pack.name);
      // What was stored in the clear must not stay part of an encrypted checkpoint, nor may the key
      // of a pack get into a part that is not encrypted.
      previous.usable.push_back(found != sizes.end() && found->second == pack.size_bytes &&
                                pack.key.has_value() == SealingKey().has_value());
    }
    return previous;
  }

  Result<Part> LoadPartWithin(const PartSummary& summary, const WriteOptions& options) {
    const auto too_large = [&](const std::string& what, uint64_t size_bytes) {
      return Fail(Code::kUnsupported,
                  fmt::format("{}: its {} of {} bytes are too much to be compared with within "
                              "checkpoint.memory_budget: everything is stored again",
                              backend_->Describe(summary.name), what, size_bytes));
    };
    HOLDFAST_TRY(const auto object, backend_->Open(summary.name));
    if (object->size_bytes() > LargestPartRead(options))
      return too_large("file", object->size_bytes());
    HOLDFAST_TRY(Part part, LoadPart(job_, summary));
    if (part.rest.size_bytes() > LargestTablesKept(options))
      return too_large("tables", part.rest.size_bytes());
    return part;
  }

  std::optional<std::string> PreviousImage(const PartSummary& summary, const std::string& name) {
    const auto part = LoadPart(job_, summary);
    if (!part) log::Failure("storage.compare", part.error(), {{"job", job_.name.id}});
    if (!part || !part->images.contains(name)) return std::nullopt;
    return part->images.at(name);
  }

  const std::shared_ptr<Backend> backend_;
  const Keys keys_;
  const Job job_;
};

}  // namespace

std::unique_ptr<JobStore> MakeJobStore(std::shared_ptr<Backend> backend, JobName job, uid_t uid,
                                       const Keys& keys) {
  return std::make_unique<JobStoreImpl>(std::move(backend), std::move(job), uid, keys);
}

Result<std::unique_ptr<JobStore>> JobStore::Open(const std::string& url, const JobName& job,
                                                 const Identity& owner, const Keys& keys,
                                                 const config::Cloud& cloud) {
  HOLDFAST_TRY(auto backend,
               OpenBackend({.url = url, .job = job.Directory(), .owner = owner}, cloud));
  return MakeJobStore(std::move(backend), job, owner.uid, keys);
}

Result<std::vector<JobName>> JobStore::JobsOf(const std::string& url, const std::string& cluster,
                                              uint32_t id, const Identity& owner,
                                              const config::Cloud& cloud) {
  const JobName old{.id = id};
  HOLDFAST_TRY(const auto backend,
               OpenBackend({.url = url, .job = old.Directory(), .owner = owner}, cloud));
  std::vector<JobName> jobs;
  for (const std::string& prefix : {old.Directory() + "/", JobDirectoryPrefix(cluster, id)}) {
    HOLDFAST_TRY(const auto places, backend->Beside(prefix));
    for (const std::string& place : places) {
      // A cluster of the name "lab-1" has jobs whose directories begin like those of "lab".
      const auto job = ParseJobDirectory(place);
      if (job && job->id == id && (job->cluster == cluster || *job == old)) jobs.push_back(*job);
    }
  }
  return jobs;
}

}  // namespace holdfast::storage
