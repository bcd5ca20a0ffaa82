// Reads one object in blocks. What is read in order is fetched ahead, several blocks at once, so
// that small reads do not each wait for the network; blocks fetched last are kept for the readers
// that follow.
//
// A block that breaks off is continued where it broke, and always from the same generation of the
// object. The stores' checksums are of whole objects: they are checked as soon as all blocks have
// been fetched, which for an object of one block is at once. Thread-safe.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "storage/backend.h"
#include "storage/remote/crc32c.h"
#include "storage/remote/service.h"

namespace holdfast::storage::remote {

// Where an object's bytes are, and what they are to be.
struct Source {
  std::string url;
  std::vector<std::string> headers;  // that name one generation, if the URL does not
  uint64_t size_bytes = 0;
  // From the CRC32C of all blocks, in order, the object's checksum as the store writes it, to
  // compare with `expected`. None: the store has no checksum of this object.
  std::function<std::string(const std::vector<Piece>&)> checksum;
  std::string expected;
};

class Download final : public ObjectReader {
 public:
  // `what`: for messages, "reading gs://...". The service must outlive the reader.
  Download(Service& service, Source source, std::string what);
  ~Download() override { service_.blocks().Forget(this); }

  uint64_t size_bytes() const override { return source_.size_bytes; }
  Status ReadAt(uint64_t offset, std::span<std::byte> out) const override;

 private:
  using Block = BlockCache::Block;

  // The block, fetched or being fetched; starts those after it when reading goes on in order.
  BlockCache::Future Get(uint64_t index) const;
  Block Fetch(uint64_t index) const;
  // Takes note of a block's checksum; fails if with it all are known and the object's does not
  // match.
  Status CheckBlock(uint64_t index, std::span<const std::byte> data) const;
  uint64_t BlockSize(uint64_t index) const;
  std::vector<Piece> BlockCrcs() const;  // of all; the caller holds mutex_

  Service& service_;
  const Source source_;
  const std::string what_;

  mutable std::mutex mutex_;
  mutable std::vector<std::optional<uint32_t>> block_crcs_;
  mutable size_t unchecked_;
  mutable uint64_t next_ = 0;  // block that a reader in order will want
};

}  // namespace holdfast::storage::remote
