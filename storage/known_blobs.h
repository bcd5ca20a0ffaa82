// Which contents are stored already, and where: those of the checkpoint before, and those that are
// being written. Used by pipeline.cc and pod_writer.cc. Thread-safe.
//
// It grows up to a limit, and then forgets one content for each new one. What it has forgotten is
// found by its place all the same (compared_part.h), or is stored a second time.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "storage/shard.h"

namespace holdfast::storage {

// Identifies the content of a blob: the hash of its blocks' digests.
using ContentKey = std::array<std::byte, 16>;
ContentKey KeyOf(std::span<const BlockDigest> blocks);

class KnownBlobs {
 public:
  explicit KnownBlobs(size_t limit_bytes);

  // A blob of exactly that content. Its pack is a number of Packs, as in Add.
  std::optional<BlobRow> Find(const ContentKey& key) const;
  void Add(const ContentKey& key, const BlobRow& blob);
  size_t size_bytes() const;

 private:
  // A pack has at most 1 GiB, a blob 256 KiB.
  struct Entry {
    ContentKey key;
    Digest digest;
    uint32_t pack;
    uint32_t offset;
    uint32_t stored_bytes;
    uint32_t raw_bytes : 24;  // 0: there is none
    uint32_t codec : 8;
  };

  size_t SlotOf(const ContentKey& key) const;
  void Grow();
  void ForgetOne();

  const size_t limit_;  // of entries
  mutable std::mutex mutex_;
  std::vector<Entry>
      entries_;  // a power of two of them; who finds its slot taken goes on to the next
  size_t used_ = 0;
  size_t hand_ = 0;  // where to look for one to forget
};

}  // namespace holdfast::storage
