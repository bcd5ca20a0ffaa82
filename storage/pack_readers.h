// Packs that a part names, to read from: what lies in them, and what it was before it was sealed.
// Used by blob_reader.cc and stored_part.cc, which verify it. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/result.h"
#include "storage/backend.h"
#include "storage/shard.h"

namespace holdfast::storage {

class PackReaders {
 public:
  // Both must outlive this. Packs are opened when they are first read.
  PackReaders(Backend& backend, const std::vector<PackRow>& packs)
      : backend_(backend), packs_(packs), readers_(packs.size()) {}

  // Opens all of them now, so that nothing can be removed under the reader's hands.
  Status OpenAll();
  bool sealed(uint32_t pack) const { return packs_[pack].key.has_value(); }
  // Bytes as they are stored.
  Status ReadStored(uint32_t pack, uint64_t offset, std::span<std::byte> out);
  // What was appended there in one piece, of this size. kCorrupt if its seal is broken.
  Status ReadWhole(uint32_t pack, uint64_t offset, std::span<std::byte> out);
  // The error that what lies there is not what was written.
  std::unexpected<Error> Damaged(uint32_t pack, uint64_t offset) const;

 private:
  Result<const ObjectReader*> ReaderOf(uint32_t pack);

  Backend& backend_;
  const std::vector<PackRow>& packs_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<ObjectReader>> readers_;
};

}  // namespace holdfast::storage
