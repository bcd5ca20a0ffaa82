// What a warden does with its pod, one blocking operation each. All run on the worker's thread, one
// at a time, in the order that state.h allows; the few other functions say who calls them.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/holdfast.pb.h"
#include "storage/checkpoint.h"
#include "warden/checkpoint/restore.h"
#include "warden/checkpoint/save.h"
#include "warden/isolation/network.h"
#include "warden/isolation/pod.h"
#include "warden/loop/job.h"
#include "warden/loop/precopy.h"
#include "warden/loop/timeline.h"
#include "warden/memory/lazy_memory.h"

namespace holdfast::warden {

// What a job's directory holds of its checkpoints, oldest first.
struct Inventory {
  std::vector<v1::Saved> saved;
  std::vector<v1::Damaged> damaged;
};

class Operations {
 public:
  // `store` is the job's own, and `found` is what lies in it. `tell` may be called on the worker's
  // thread.
  Operations(const Job& job, std::unique_ptr<storage::JobStore> store, Inventory found,
             std::function<void(v1::FromWarden)> tell);
  ~Operations();

  // A fresh pod, or one restored and held; either way cut off and not running. On failure there is
  // no pod.
  Status Create(const v1::Welcome& welcome);
  // Lets the pod go and joins it to its network.
  Status Start();
  // Begins to pre-copy: to store the running pod's memory ahead of a Save of the same number.
  // Returns at once; Precopied tells when it is done. Save goes on from whatever has been stored
  // until then.
  Status BeginPrecopy(const v1::Precopy& precopy);
  // Ends the pre-copy, and removes what it stored.
  Status DropPrecopy();
  // Cuts, freezes, and makes everything durable, once the pod has all the memory that it was
  // restored with. On failure the pod goes on as if nothing had been.
  Status Save(const v1::Prepare& prepare);
  // Pod 0: stores the job's files, then writes the manifest.
  Status Commit(const v1::Commit& commit);
  // A frozen pod goes on; with `drop`, what it saved is removed.
  Status Resume(bool drop);
  // Kills the pod, frozen or not.
  Status Release();
  // Pod 0: removes checkpoints that are no longer to be kept. After Commit, when nobody waits.
  Status Tidy();
  // Removes all of the job's checkpoints.
  Status RemoveCheckpoints();

  // For the main thread, while no operation is under way.
  Pod* pod() { return pod_.get(); }
  // Why the pod was killed, if memory of a lazy restore could not be had.
  std::optional<Error> memory_failure() { return memory_ ? memory_->failure() : std::nullopt; }
  const v1::Prepared& prepared() const { return prepared_; }
  const std::vector<v1::Saved>& saved() const { return inventory_.saved; }
  const std::vector<v1::Damaged>& damaged() const { return inventory_.damaged; }
  uint32_t committed() const { return committed_; }
  // The log of the operation that was done last.
  const std::string& log_path() const { return log_path_; }

 private:
  struct Origin;  // what is restored
  Result<Origin> FindOrigin(const v1::Welcome& welcome);
  Status MakePod(const v1::Network& network, const std::vector<std::string>& hostnames);
  Status Furnish(const v1::Network& network);
  Status Restore(Origin& origin);
  Status AwaitMemory(const v1::Prepare& prepare);
  Status FreezeAndStore(const v1::Prepare& prepare);
  Result<storage::WriteOptions> HowToWrite() const;
  void Destroy();
  // A point of the timeline: what ended now took `duration`.
  void Tell(const std::string& name, std::chrono::nanoseconds duration, const std::string& detail);
  // The same of that checkpoint; on any thread.
  void TellOf(uint32_t checkpoint, const std::string& name, std::chrono::nanoseconds duration,
              const std::string& detail);

  const Job& job_;
  const std::unique_ptr<storage::JobStore> store_;
  const std::function<void(v1::FromWarden)> tell_;
  const EventSink events_;   // Tell, for save and restore
  uint32_t checkpoint_ = 0;  // that the operation under way is about
  NetworkOptions network_options_;
  // Destroyed in reverse: a frozen or held pod before its network, and that before the pod.
  std::unique_ptr<Pod> pod_;
  std::unique_ptr<storage::PodReader> source_;  // of memory_
  std::unique_ptr<LazyMemory> memory_;          // what a restored pod is still getting
  std::unique_ptr<JobNetwork> network_;
  std::unique_ptr<HeldPod> held_;
  std::unique_ptr<Precopy> precopy_;
  PrecopyWorth precopy_worth_;
  std::unique_ptr<storage::PodWriter> writer_;
  std::unique_ptr<FrozenPod> frozen_;
  v1::Prepared prepared_;
  Inventory inventory_;
  uint32_t committed_ = 0;
  uint32_t keep_ = 0;
  std::string log_path_;
};

}  // namespace holdfast::warden
