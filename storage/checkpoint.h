// Checkpoints as wardens see them: written pod by pod, committed by a manifest, read back verified.
//
// A job's checkpoints lie in one directory of a back end (storage/backend.h), JobName::Directory()
// below the job's --checkpoint-dir. Each pod writes its extents into packs and one part file that
// names them; the manifest, written last, names the parts. A checkpoint without a manifest does not
// exist.
//
// Trust: the manifest is authenticated with the site key; everything else is checked against the
// digests it (and the parts) hold before it is parsed or used. All accesses are made as the job's
// user. With an encryption key parts and packs are encrypted (storage/sealed_part.h).
#pragma once

#include <array>
#include <bitset>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/identity.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "config/config.h"
#include "storage/keys.h"
#include "storage/urls/job_name.h"

namespace holdfast::storage {

using Digest = std::array<std::byte, 32>;  // BLAKE3

// Longest piece of a stream that is stored as one extent. Streams of memory are cut at multiples of
// this in *address*, so that a second checkpoint finds the same pieces.
inline constexpr size_t kExtentBytes = 256 * 1024;
// What is compared and verified; also the alignment of an extent's place in its blob.
// docs/adr/0007-extents-blobs-packs.md has the measurements.
inline constexpr size_t kBlockBytes = 16 * 1024;
inline constexpr size_t kBlocksPerExtent = kExtentBytes / kBlockBytes;
// Some of the blocks of a piece, by their order in it.
using BlockSet = std::bitset<kBlocksPerExtent>;

// A file that a process of the job had open for writing when it was saved.
struct FileRecord {
  std::string path;  // as the pod saw it
  uint64_t size_bytes = 0;
  int64_t mtime_ns = 0;  // since the epoch
  uint64_t inode = 0;
  bool append = false;      // every descriptor of it has O_APPEND
  bool job_output = false;  // the job's own stdout or stderr file
};

// What a pod's part tells about the pod, beside its data.
struct PodInfo {
  uint32_t pod = 0;
  std::string node;
  std::string hostname;  // inside the pod
  Identity owner;
  uint32_t processes = 0;
  uint32_t root_pid = 0;  // of pod-root inside the pod
  // Kernel, CRIU, CPU, boot times: for people and for preflight.
  std::map<std::string, std::string> attributes;
};

struct PartSummary {
  uint32_t pod = 0;
  std::string name;  // of the part file, in the job's directory
  Digest digest{};
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;
  uint32_t processes = 0;
};

struct Manifest {
  JobName job;
  uint32_t checkpoint = 0;
  int64_t unix_ms = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<std::string> hostnames;  // by pod
  std::vector<PartSummary> parts;      // by pod
  // What the job's files were like: written by pod 0 under the number that follows the last pod's.
  std::optional<PartSummary> files;
  std::map<std::string, std::string> attributes;

  // Of the pods and of the files.
  std::vector<PartSummary> AllParts() const {
    std::vector<PartSummary> all = parts;
    if (files) all.push_back(*files);
    return all;
  }
};

// Compress while that makes a checkpoint faster, by what is measured during it.
inline constexpr int kCompressionAuto = -1;

struct WriteOptions {
  unsigned threads = 2;  // how many callers of Put may compress and write at a time
  uint64_t memory_budget_bytes = 256ULL << 20;  // of buffers and tables, whatever is put
  int compression_level = 1;  // zstd's, 1 to 19; 0 stores as is; or kCompressionAuto
  // Asked before each piece is stored; its error is that of Put. Any thread.
  std::function<Status()> may_go_on;
};

// Writes one pod's share of a checkpoint. Put may be called from many threads and does its work in
// them, so more callers make it faster. The rest is for one thread. Destroyed without Finish, it
// removes what it wrote.
class PodWriter {
 public:
  virtual ~PodWriter() = default;
  // A new stream of bytes: "pages-1.img", "scratch". Bytes never put read as zero.
  virtual Result<uint32_t> AddStream(std::string name) = 0;
  // Stores data[0..size) at `offset` of the stream; at most kExtentBytes, never overlapping. `data`
  // is no longer needed when it returns. Blocks while the memory budget is used up. `address` is
  // where the data lies in `pid`'s memory, or 0: it is recorded in the extent table. The first
  // error of the pipeline is returned by every later call.
  virtual Status Put(uint32_t stream, uint64_t offset, std::span<const std::byte> data,
                     uint64_t address = 0, uint32_t pid = 0) = 0;
  // Of which committed checkpoint the part is that everything is compared with; 0: there is none,
  // or it cannot be used.
  virtual uint32_t compared_checkpoint() const = 0;
  // As Put, for a piece of memory of which some blocks are known to be as they were in that
  // checkpoint. Only the others are read, and those that it does not have after all.
  struct Kept {
    BlockSet blocks;
    bool verify = false;  // reads all, and fails with kInternal where a block is not as it was
    // Fills data[begin, end).
    std::function<Status(size_t begin, size_t end)> read;
  };
  virtual Status PutRest(uint32_t stream, uint64_t offset, std::span<std::byte> data,
                         const Kept& kept, uint64_t address, uint32_t pid) = 0;
  // The stream's length, if it is longer than what was put.
  virtual Status SetSize(uint32_t stream, uint64_t size_bytes) = 0;
  // An image that the part of the same number in the newest checkpoint has; nothing if there is
  // none.
  virtual std::optional<std::string> PreviousImage(const std::string& name) const = 0;
  // A new stream with the contents that the stream of this name has there, which are not read.
  // False if it has none, or not all of its data is where it was. After an error the writer is of
  // no more use.
  virtual Result<bool> KeepStream(const std::string& name) = 0;
  // Makes durable what has been put. For when there is time: Finish does it too.
  virtual Status Flush() = 0;
  // What has been put until now was only stored ahead, and is not part of the checkpoint. What is
  // put from now on is compared with it, as with the newest checkpoint. No Put may be under way.
  // After an error the writer is of no more use.
  virtual Status BeginAgain() = 0;
  // A small file of CRIU's, kept whole.
  virtual Status AddImage(std::string name, std::string_view contents) = 0;
  virtual void AddFile(FileRecord file) = 0;
  virtual void SetInfo(PodInfo info) = 0;
  // Everything durable; the part names it all. After success nothing but ahead() may be called.
  virtual Result<PartSummary> Finish() = 0;
  // After Finish: what was stored for nothing, because it was put before BeginAgain and has changed
  // since, and how much was stored before BeginAgain in all. Packs that hold nothing else go when
  // this is destroyed. Of content that is in many places less may be called wasted than is.
  struct Precopied {
    uint64_t stored_bytes = 0;
    uint64_t wasted_bytes = 0;
  };
  virtual Precopied precopied() const = 0;
};

// Reads one pod's share. Every byte returned has been verified: kCorrupt otherwise, naming the
// file. Thread-safe.
class PodReader {
 public:
  struct Stream {
    std::string name;
    uint64_t size_bytes = 0;
  };
  virtual ~PodReader() = default;
  virtual const PodInfo& info() const = 0;
  virtual const std::vector<FileRecord>& files() const = 0;
  virtual std::vector<std::string> images() const = 0;
  virtual Result<std::string> ReadImage(const std::string& name) = 0;
  virtual const std::vector<Stream>& streams() const = 0;
  // Any part of a stream; zeros where nothing was put.
  virtual Status Read(uint32_t stream, uint64_t offset, std::span<std::byte> out) = 0;
  // The whole stream into a file, by several threads, leaving holes where it is zero.
  virtual Status CopyTo(uint32_t stream, const UniqueFd& file, unsigned threads) = 0;
};

// What a verification has found to be good.
struct Verified {
  // False: it is encrypted and there is no key, so beyond the manifest and the parts only names and
  // sizes of packs were compared.
  bool contents = true;
  uint64_t read_bytes = 0;  // of packs
};

// What was removed.
struct Pruned {
  std::vector<uint32_t> checkpoints;  // that had been committed, ascending
  uint64_t bytes = 0;                 // of all objects
};

// The checkpoints of one job.
class JobStore {
 public:
  // `url`: the job's --checkpoint-dir (storage/urls/urls.h). `cloud`: for object stores, whose
  // credentials are read now. Nothing is created yet.
  static Result<std::unique_ptr<JobStore>> Open(const std::string& url, const JobName& job,
                                                const Identity& owner, const Keys& keys,
                                                const config::Cloud& cloud = {});
  // The cluster's jobs of that id that have a place there, in the order of their submission; one of
  // before jobs had names comes first.
  static Result<std::vector<JobName>> JobsOf(const std::string& url, const std::string& cluster,
                                             uint32_t id, const Identity& owner,
                                             const config::Cloud& cloud = {});
  virtual ~JobStore() = default;

  // For all that is stored from now on; max(): none. Backend::SetDeadline says what it does.
  virtual void SetDeadline(std::chrono::steady_clock::time_point deadline) = 0;
  // For all calls, from now on, those under way too; max(): none. Backend::SetLimit says what it
  // does.
  virtual void SetLimit(std::chrono::steady_clock::time_point limit) = 0;
  // Creates the job's directory, private to its user, and proves that it can be written.
  virtual Status Prepare() = 0;
  // Numbers only grow: kConflict unless it is above the newest committed checkpoint's. Removes what
  // an earlier attempt of this pod left under that number.
  virtual Result<std::unique_ptr<PodWriter>> Write(uint32_t checkpoint, uint32_t pod,
                                                   const WriteOptions& options) = 0;
  // The commit point: durable and visible when it returns success. kConflict if that checkpoint or
  // a newer one exists, or it was discarded. After any other error it may have become visible all
  // the same: ReadManifest tells.
  virtual Status Commit(const Manifest& manifest) = 0;
  // Removes what was written for a checkpoint that was not committed; kConflict if it was. After
  // success it never will be: that number is used up.
  virtual Status Discard(uint32_t checkpoint) = 0;
  // Committed checkpoints, oldest first. One that cannot be read or verified is listed in `bad`
  // with the reason, and otherwise left out.
  struct Listing {
    std::vector<Manifest> good;
    std::vector<std::pair<uint32_t, Error>> bad;
  };
  virtual Result<Listing> List() = 0;
  virtual Result<Manifest> ReadManifest(uint32_t checkpoint) = 0;
  // `pod` may be one beyond the last, if the manifest has files.
  virtual Result<std::unique_ptr<PodReader>> Read(const Manifest& manifest, uint32_t pod) = 0;
  // Reads all that the manifest names, by several threads: kCorrupt names what is damaged.
  virtual Result<Verified> Verify(const Manifest& manifest, unsigned threads) = 0;
  // Keeps those in `spared`, and of the others that are not in `unwanted` the newest `keep`
  // committed checkpoints. Removes the other committed ones, what uncommitted ones older than the
  // newest have left, and packs that no kept manifest names. Safe while another checkpoint is being
  // written. If a kept checkpoint's part cannot be read, it fails and removes nothing. keep = 0
  // removes the job's directory.
  virtual Result<Pruned> Prune(uint32_t keep, const std::set<uint32_t>& spared = {},
                               const std::set<uint32_t>& unwanted = {}) = 0;
};

}  // namespace holdfast::storage
