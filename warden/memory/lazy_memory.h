// Memory that restored processes get while they run already: on demand as they touch it, and all
// the rest in the order in which it was saved.
//
// `criu restore --lazy-pages` connects to a socket in its directory and hands over, for each
// process, a userfaultfd(2) of its memory. From then on the kernel stops whoever touches a page
// that is not there until it has been filled. One thread reads what the kernel tells (faults,
// forks, unmappings); several others read extents from storage, which verifies them, and fill
// pages.
//
// If a page cannot be had, nobody gets a wrong one: the pod is killed while all who wait for pages
// still wait. Their descriptors stay open until this is destroyed, because closing one makes what
// is missing read as zero.
//
// Used by restore.cc (which fills it in) and operations (which waits). Thread-safe from Listen on.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <span>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "base/identity.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "storage/checkpoint.h"
#include "warden/memory/missing_pages.h"

namespace holdfast::warden {

// A process as it was saved: which of its pages are in which stream.
struct LazyProcess {
  uint32_t stream = 0;
  MissingPages missing;
};

struct LazyOptions {
  unsigned threads = 2;
  Identity owner;  // the user that CRIU runs as
  // Kills the pod at once, without waiting. Called from threads of this, at most twice.
  std::function<void()> kill;
  // Keeps a duplicate open until the pod's processes are dead, should this process die before them.
  std::function<Status(const UniqueFd&)> hold;
  // Closes these duplicates.
  std::function<void()> let_go;
  // All pages are in: how many bytes were to come, and how long it took from Prefetch on.
  std::function<void(uint64_t, std::chrono::nanoseconds)> complete;
  // After that; to end soon if a stop is requested.
  std::function<void(const std::stop_token&)> afterwards;
};

class LazyMemory {
 public:
  using Clock = std::chrono::steady_clock;

  // Listens in CRIU's work directory. `reader` must outlive this.
  static Result<std::unique_ptr<LazyMemory>> Listen(const UniqueFd& directory,
                                                    std::map<pid_t, LazyProcess> processes,
                                                    storage::PodReader& reader,
                                                    LazyOptions options);
  // If pages are still missing, the pod must have been killed, and its end been waited for.
  ~LazyMemory();
  LazyMemory(const LazyMemory&) = delete;
  LazyMemory& operator=(const LazyMemory&) = delete;

  // CRIU has made all mappings: fill them, whether or not somebody asks.
  Status Prefetch();
  // Blocks until all pages are in: kTimeout if they are not at the deadline, and otherwise what
  // failure() says.
  Status Wait(Clock::time_point deadline);
  // Why the pod was killed, if it was.
  std::optional<Error> failure();

 private:
  // One process, or what it forked.
  struct Space {
    UniqueFd fd;
    uint32_t stream = 0;
    MissingPages missing;  // guarded by LazyMemory::mutex_
    uint64_t cursor = 0;   // where prefetch goes on; so too
    unsigned in_work = 0;  // pieces; so too
    bool gone = false;     // so too
    // Addresses mean something only until the next event has been read. Filling is done with the
    // lock shared, reading exclusively; the gate keeps a reader from waiting for ever.
    std::mutex gate;
    std::shared_mutex addresses;
  };
  using SpacePtr = std::shared_ptr<Space>;

  // A window of addresses, of at most an extent.
  struct Piece {
    SpacePtr space;
    uint64_t address = 0;
    std::vector<MissingRun> runs;
  };

  LazyMemory(std::map<pid_t, LazyProcess> processes, storage::PodReader& reader,
             LazyOptions options, UniqueFd listener, UniqueFd wake);

  // The thread that listens.
  void Serve(const std::stop_token& stop);
  Status ServeOnce(std::vector<SpacePtr>& spaces);
  Status Accept();
  Status ReceiveProcess();
  Status ReadEvents(const SpacePtr& space);
  Status OnFault(const SpacePtr& space, uint64_t address);
  Status OnFork(const SpacePtr& parent, int fd);
  void OnMove(Space& space, uint64_t from, uint64_t to, uint64_t size_bytes);
  void OnRemove(Space& space, uint64_t address, uint64_t size_bytes);
  // True, and all descriptors closed, once nothing is missing.
  bool Complete();

  // The threads that fill.
  void Work();
  std::optional<Piece> Take();
  std::optional<Piece> TakeAsked();
  std::optional<Piece> TakeNext();
  Piece MakePiece(const SpacePtr& space, uint64_t address, uint64_t size_bytes);
  Status FillPiece(const Piece& piece, std::span<std::byte> buffer);
  Status FillRun(Space& space, const MissingRun& run, std::span<const std::byte> data);
  // One step of it: how far it got, or nothing if an event has to be read first.
  Result<std::optional<uint64_t>> FillSome(Space& space, const MissingRun& run,
                                           std::span<const std::byte> data, uint64_t done);
  void Finish(Piece piece);

  void Lose(Error error);
  void Wake() const;

  storage::PodReader& reader_;
  const LazyOptions options_;
  UniqueFd listener_;    // of the listening thread, as all without a note
  UniqueFd connection_;  // from CRIU
  UniqueFd wake_;        // eventfd: look again

  std::mutex mutex_;                        // guards what follows
  std::condition_variable work_;            // there may be some
  std::condition_variable settled_;         // all in, or failed
  std::map<pid_t, LazyProcess> processes_;  // that have not been handed over
  std::vector<SpacePtr> spaces_;
  std::deque<std::pair<SpacePtr, uint64_t>> asked_;      // pages, oldest first
  std::set<std::pair<const Space*, uint64_t>> in_work_;  // windows
  size_t next_space_ = 0;
  bool prefetch_ = false;
  Clock::time_point prefetch_begin_;
  uint64_t total_bytes_ = 0;
  bool done_ = false;
  bool stop_ = false;
  std::optional<Error> failure_;

  std::vector<std::jthread> threads_;  // last: they end before what they use
};

}  // namespace holdfast::warden
