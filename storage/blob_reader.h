// Blobs out of packs, verified: nothing leaves it, and no decompressor sees anything, that is not
// what was written. pod_reader.cc is built on it. Thread-safe.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "storage/pack_readers.h"
#include "storage/shard.h"

namespace holdfast::storage {

class BlobReader {
 public:
  // `packs` must outlive this.
  explicit BlobReader(PackReaders& packs) : packs_(packs) {}

  // Raw bytes of a blob of the shard from `offset` on. kCorrupt names the pack and the place in it.
  Status Read(const LoadedShard& shard, uint32_t blob, uint32_t offset, std::span<std::byte> out);

 private:
  // A whole blob, verified.
  using Content = std::shared_ptr<const std::vector<std::byte>>;

  // Blobs that were read in part, because neighbouring bytes are often asked for next.
  class Cache {
   public:
    Content Find(const BlobRow& blob);
    void Add(const BlobRow& blob, Content content);

   private:
    using Place = std::pair<uint32_t, uint64_t>;  // pack, offset in it
    std::mutex mutex_;
    std::array<std::pair<Place, Content>, 16> entries_;
    size_t next_ = 0;
  };

  // Whole blocks of a blob that is stored as it is.
  Status ReadBlocks(const LoadedShard& shard, uint32_t number, uint32_t offset,
                    std::span<std::byte> out);
  // All of any blob.
  Status ReadWhole(const LoadedShard& shard, uint32_t number, std::span<std::byte> out);
  Status Verify(const LoadedShard& shard, uint32_t number, uint32_t offset,
                std::span<const std::byte> data) const;

  PackReaders& packs_;
  Cache cache_;
};

}  // namespace holdfast::storage
