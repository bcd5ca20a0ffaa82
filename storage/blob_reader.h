// Blobs out of packs, verified: nothing leaves it, and no decompressor sees anything, that is not
// what was written. pod_reader.cc is built on it. Thread-safe.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/result.h"
#include "storage/backend.h"
#include "storage/part.h"

namespace holdfast::storage {

class BlobReader {
 public:
  // Opens every pack that the part names, so that nothing can be removed under the reader's hands.
  // Both must outlive the reader.
  static Result<std::unique_ptr<BlobReader>> Open(Backend& backend, const Part& part);

  // Raw bytes of a blob from `offset` on. kCorrupt names the pack and the place in it.
  Status Read(uint32_t blob, uint32_t offset, std::span<std::byte> out);

 private:
  // A whole blob, verified.
  using Content = std::shared_ptr<const std::vector<std::byte>>;

  // Blobs that were read in part, because neighbouring bytes are often asked for next.
  class Cache {
   public:
    Content Find(uint32_t blob);
    void Add(uint32_t blob, Content content);

   private:
    std::mutex mutex_;
    std::array<std::pair<uint32_t, Content>, 16> entries_;
    size_t next_ = 0;
  };

  BlobReader(Backend& backend, const Part& part, std::vector<std::unique_ptr<ObjectReader>> packs);
  Status ReadStored(const BlobRow& blob, uint32_t offset, std::span<std::byte> out) const;
  // Whole blocks of a blob that is stored as it is.
  Status ReadBlocks(uint32_t number, uint32_t offset, std::span<std::byte> out) const;
  // All of any blob.
  Status ReadWhole(uint32_t number, std::span<std::byte> out) const;
  Status ReadSealed(const BlobRow& blob, std::span<std::byte> payload) const;
  Status Verify(uint32_t number, uint32_t offset, std::span<const std::byte> data) const;
  Status Damaged(const BlobRow& blob, uint64_t offset) const;

  Backend& backend_;
  const Part& part_;
  const std::vector<uint32_t> first_blocks_;
  const std::vector<std::unique_ptr<ObjectReader>> packs_;
  Cache cache_;
};

}  // namespace holdfast::storage
