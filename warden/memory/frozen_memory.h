// The memory of frozen processes on its way to storage.
//
// After `criu dump --lazy-pages` a pagemap-ID.img says which pages exist: those CRIU has written to
// pages-N.img itself (stacks, file-backed private pages, shared memory: "present") and those that
// still lie in the frozen process ("lazy"). A plain restore wants all of them in pages-N.img, in
// the pagemap's order. So the stream "pages-N.img" is made of both, and in the pagemap every entry
// becomes present.
//
// The stream is cut where *addresses* are multiples of storage::kExtentBytes: what lies before a
// page in the stream may grow from one checkpoint to the next, but pieces cut so have the same
// contents as long as the process does not touch them, and storage then finds them already there.
//
// Used by save.cc. Thread-safe as pure functions are.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "storage/checkpoint.h"
#include "warden/criu/images.h"
#include "warden/isolation/pod.h"
#include "warden/memory/write_tracking.h"

namespace holdfast::warden {

// A run of pages: in CRIU's file, or in the process.
struct MemoryRun {
  uint64_t address = 0;
  uint64_t size_bytes = 0;
  bool lazy = false;
  uint64_t file_offset = 0;  // in CRIU's pages file, if not lazy
};

// What one extent holds: runs that follow each other in the stream.
struct MemoryPiece {
  uint64_t stream_offset = 0;
  uint64_t size_bytes = 0;
  std::vector<MemoryRun> runs;
  storage::BlockSet unwritten;  // since the checkpoint that the writer compares with
};

// Reads out.size() bytes of the run, from `skip` on.
using ReadRun =
    std::function<Status(const MemoryRun& run, uint64_t skip, std::span<std::byte> out)>;
// Puts the piece, of which `read` gets what has to be read. `verify`: that is all of it.
Status PutPiece(storage::PodWriter& writer, uint32_t stream, pid_t pid, const MemoryPiece& piece,
                bool verify, const ReadRun& read);

// Cuts the memory that a pagemap describes, one piece after the other.
class MemoryCutter {
 public:
  explicit MemoryCutter(const Pagemap& pagemap);
  // Of the whole stream.
  uint64_t size_bytes() const;
  // The next piece; nothing after the last one.
  std::optional<MemoryPiece> Next();

 private:
  // An entry of the pagemap, in less than half of its memory.
  struct Entry {
    uint64_t address = 0;
    uint64_t size_bytes = 0;
    bool present = false;
  };
  std::vector<Entry> entries_;
  size_t entry_ = 0;
  uint64_t done_bytes_ = 0;  // of the entry
  uint64_t stream_offset_ = 0;
  uint64_t file_offset_ = 0;
};

// Puts the memory that the pagemaps in the directory describe into streams, and the pagemaps, as a
// plain restore wants them, into images. The pod is frozen.
struct SavedMemory {
  uint64_t size_bytes = 0;
  uint64_t unwritten_bytes = 0;  // of these; not read, unless `tracking` wants to verify that
};
// `tracking`: null, or what knows which memory need not be read, and learns that it is saved for
// that checkpoint.
Result<SavedMemory> SaveMemory(const Pod& pod, const UniqueFd& images, storage::PodWriter& writer,
                               unsigned threads, WriteTracking* tracking = nullptr,
                               uint32_t checkpoint = 0);

// A process whose memory is read. Somebody may kill it, frozen as it is, and the kernel give its id
// to a process of anybody's: what was read is good only if it has its id still, alive or not.
class FrozenProcess {
 public:
  static Result<FrozenProcess> Open(const Pod& pod, pid_t pid);
  static Result<FrozenProcess> Open(pid_t node_pid);
  // Also where it has no right to read itself. kUnavailable if it has been killed; then what was
  // read may be another's.
  Status Read(uint64_t address, std::span<std::byte> out) const;

 private:
  FrozenProcess(pid_t node_pid, UniqueFd handle)
      : node_pid_(node_pid), handle_(std::move(handle)) {}
  std::unexpected<Error> Gone() const;

  pid_t node_pid_;
  UniqueFd handle_;  // a pidfd
};

}  // namespace holdfast::warden
