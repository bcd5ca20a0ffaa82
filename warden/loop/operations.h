// What a warden does with its pod: PodOperations of roles.h, on the worker's thread.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "protocol/holdfast.pb.h"
#include "storage/checkpoint.h"
#include "warden/checkpoint/restore.h"
#include "warden/checkpoint/save.h"
#include "warden/criu/casualties.h"
#include "warden/isolation/memory_room.h"
#include "warden/isolation/network.h"
#include "warden/isolation/outside.h"
#include "warden/isolation/pod.h"
#include "warden/isolation/private_directories.h"
#include "warden/loop/job.h"
#include "warden/loop/precopy.h"
#include "warden/loop/roles.h"
#include "warden/loop/signals.h"
#include "warden/loop/timeline.h"
#include "warden/memory/lazy_memory.h"
#include "warden/memory/write_tracking.h"

namespace holdfast::warden {

// What a job's directory holds of its checkpoints, oldest first.
struct Inventory {
  std::vector<v1::Saved> saved;
  std::vector<v1::Damaged> damaged;
};

// While it lives, no call of the store takes longer; not for what a restore still reads.
class StoreLimit {
 public:
  StoreLimit(storage::JobStore& store, std::chrono::steady_clock::time_point limit)
      : store_(store) {
    store_.SetLimit(limit);
  }
  ~StoreLimit() { store_.SetLimit(std::chrono::steady_clock::time_point::max()); }
  StoreLimit(const StoreLimit&) = delete;
  StoreLimit& operator=(const StoreLimit&) = delete;

 private:
  storage::JobStore& store_;
};

class Operations final : public PodOperations {
 public:
  // `store` is the job's own, and `found` is what lies in it. `tell` may be called on the worker's
  // thread.
  Operations(const Job& job, std::unique_ptr<storage::JobStore> store, Inventory found,
             std::function<void(v1::FromWarden)> tell);
  ~Operations() override;

  Status Create(const v1::Welcome& welcome) override;
  Status Start() override;
  Status BeginPrecopy(const v1::Precopy& precopy) override;
  Status DropPrecopy() override;
  Status Save(const v1::Prepare& prepare) override;
  Status Commit(const v1::Commit& commit) override;
  Status Seal(std::chrono::steady_clock::time_point deadline) override;
  Status Resume(bool drop) override;
  Status Release() override;
  Status Tidy() override;
  Status RemoveCheckpoints() override;

  Result<ExitStatus> TakeExit() override { return pod_->TakeExit(); }
  bool ran_out_of_memory() const override { return OomKills().value_or(0) > others_oom_kills_; }
  std::optional<Error> damage() const override;
  const v1::Prepared& prepared() const override { return prepared_; }
  const std::vector<v1::Saved>& saved() const override { return inventory_.saved; }
  const std::vector<v1::Damaged>& damaged() const override { return inventory_.damaged; }
  uint32_t committed() const override { return committed_; }
  const std::string& log_path() const override { return log_path_; }
  Status Signal(const pod::RelayedSignal& signal) override { return RelaySignal(*pod_, signal); }
  void StandStill() override;

  // Polls readable when the pod has ended. For the main thread, while no operation is under way and
  // state.h says that there is a pod.
  const UniqueFd& exit_fd() const { return pod_->exit_fd(); }

 private:
  // Readers and writers of storage, and copying memory: as many as help, with a few left for what
  // else the node does.
  static constexpr unsigned kThreads = 4;
  // For what is only removed: sooner or later the next checkpoint does that.
  static constexpr std::chrono::seconds kRemovalLimit{30};

  struct Origin;  // what is restored
  Result<std::unique_ptr<storage::JobStore>> OpenOther(uint32_t id) const;
  Result<Origin> FindOrigin(const v1::Welcome& welcome);
  Status MakePod(const v1::Network& network, const std::vector<std::string>& hostnames);
  Status Furnish(const v1::Welcome& welcome);
  Status Restore(Origin& origin);
  Status AwaitMemory(const v1::Prepare& prepare);
  Status FreezeAndStore(const v1::Prepare& prepare);
  Result<storage::WriteOptions> HowToWrite() const;
  // Any thread.
  Status MayGoOn() const;
  void Destroy();
  // Those that tracking of writes has split; on a thread of its own.
  void MakeHugePagesAgain();
  // Once no process of the pod is left.
  void RemovePrivateDirectories();
  // What a save that has failed leaves behind goes on, unless CRIU has damaged it.
  Status GoOnIfIntact();
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
  std::optional<PrivateDirectories> private_directories_;
  std::unique_ptr<Pod> pod_;
  std::optional<Casualties> casualties_;  // while it is being saved
  uint64_t others_oom_kills_ = 0;         // CRIU's, whom the kernel takes first
  std::optional<Error> damage_;
  UniqueFd waits_;                              // of pod_, for its saves
  std::optional<WriteTracking> tracking_;       // so too
  std::unique_ptr<storage::PodReader> source_;  // of memory_
  std::unique_ptr<LazyMemory> memory_;          // what a restored pod is still getting
  std::jthread huge_pages_;                     // makes them in pod_
  std::unique_ptr<JobNetwork> network_;
  std::unique_ptr<Outside> outside_;
  std::unique_ptr<HeldPod> held_;
  std::unique_ptr<Precopy> precopy_;
  PrecopyWorth precopy_worth_;
  std::unique_ptr<storage::PodWriter> writer_;
  std::unique_ptr<FrozenPod> frozen_;
  v1::Prepared prepared_;
  storage::Manifest manifest_;  // pod 0: to be written
  std::chrono::nanoseconds files_took_{0};
  std::chrono::steady_clock::time_point stands_until_;  // of the checkpoint under way
  Inventory inventory_;
  uint32_t committed_ = 0;
  uint32_t keep_ = 0;
  std::string log_path_;
  std::atomic<std::chrono::steady_clock::time_point> stopped_until_{};  // being suspended
};

}  // namespace holdfast::warden
