// Bringing a pod back: put back its private files, check that this node and the job's files fit,
// have CRIU rebuild the processes, and hold them until every pod of the job is there.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "storage/checkpoint.h"
#include "warden/checkpoint/save.h"
#include "warden/files/rollback.h"
#include "warden/isolation/pod.h"
#include "warden/memory/lazy_memory.h"

namespace holdfast::warden {

// When the processes' memory comes, if the kernel has userfaultfd(2); without it always kInFiles.
enum class MemoryComes {
  kLater,    // while they run
  kFirst,    // before they run
  kInFiles,  // so too, but written to files that CRIU reads
};

struct RestoreOptions {
  std::string criu;
  std::string criu_preload = HOLDFAST_LIBEXEC "/holdfast-criu-restore.so";
  std::string log_directory;   // restore.log ends there
  std::string work_directory;  // root only, for images on their way; removed afterwards
  unsigned threads = 2;
  std::chrono::seconds timeout{600};
  MemoryComes memory = MemoryComes::kInFiles;
  storage::PodReader* files = nullptr;  // the files' part of the checkpoint, if it has one
  RollbackOptions rollback;
};

// A restored pod whose processes have not run yet. Destroying it kills them; so too after Resume,
// if memory is still to come and nobody took it.
class HeldPod {
 public:
  // The pod is new and empty, its network exists and is cut. Fails with kChanged if a file is not
  // as the checkpoint left it and cannot be put back, kCorrupt if an image is not what was written,
  // kDenied if an image asks for rights the job's user does not have, kUnsupported if this node
  // cannot run it; the message names what. With MemoryComes::kLater, `reader` must outlive
  // TakeMemory's result, and `events` gets a "pages-in" from another thread.
  static Result<std::unique_ptr<HeldPod>> Restore(Pod& pod, storage::PodReader& reader,
                                                  const RestoreOptions& options,
                                                  const EventSink& events);
  virtual ~HeldPod() = default;
  // The processes go on. The network must be un-cut before or right after.
  virtual Status Resume() = 0;
  // What brings the memory that is still missing, or null; with MemoryComes::kFirst it is complete.
  // It must go before the pod does, but not before the pod has been killed or it is complete.
  virtual std::unique_ptr<LazyMemory> TakeMemory() = 0;
  // What was done to the job's files.
  virtual const RollbackReport& rolled_back() const = 0;
};

}  // namespace holdfast::warden
