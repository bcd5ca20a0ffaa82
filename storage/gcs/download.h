// Reads one object in blocks. What is read in order is fetched ahead, several blocks at once, so
// that small reads do not each wait for the network; blocks fetched last are kept for the readers
// that follow.
//
// A block that breaks off is continued where it broke, and always from the same generation of the
// object. Cloud Storage's checksum is of the whole object: it is checked as soon as all blocks have
// been fetched, which for an object of one block is at once. Thread-safe.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "storage/backend.h"
#include "storage/gcs/service.h"

namespace holdfast::storage::gcs {

class Download final : public ObjectReader {
 public:
  // Asks for the object's size, generation and checksum; kNotFound if it does not exist.
  // `what`: for messages, "reading gs://...".
  static Result<std::unique_ptr<ObjectReader>> Open(Service& service, const std::string& name,
                                                    std::string what);
  ~Download() override { service_.blocks().Forget(this); }

  uint64_t size_bytes() const override { return size_; }
  Status ReadAt(uint64_t offset, std::span<std::byte> out) const override;

 private:
  using Block = BlockCache::Block;

  Download(Service& service, std::string url, std::string what, uint64_t size, std::string crc);

  // The block, fetched or being fetched; starts those after it when reading goes on in order.
  BlockCache::Future Get(uint64_t index) const;
  Block Fetch(uint64_t index) const;
  // Takes note of a block's checksum; fails if with it all are known and the object's does not
  // match.
  Status CheckBlock(uint64_t index, std::span<const std::byte> data) const;
  uint64_t BlockSize(uint64_t index) const;

  Service& service_;
  const std::string url_;  // of this generation's contents
  const std::string what_;
  const uint64_t size_;
  const std::string crc_;  // as the API writes it

  mutable std::mutex mutex_;
  mutable std::vector<std::optional<uint32_t>> block_crcs_;
  mutable size_t unchecked_;
  mutable uint64_t next_ = 0;  // block that a reader in order will want
};

}  // namespace holdfast::storage::gcs
