// What the pod's previous checkpoint stored, to be found by content and by place. Filled before a
// write begins, then read by all threads of the pipeline.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "storage/part.h"

namespace holdfast::storage {

// Identifies the content of a blob: the hash of its blocks' digests.
Digest KeyOf(std::span<const BlockDigest> blocks);

struct DigestHash {
  size_t operator()(const Digest& digest) const;
};

// Where a piece of data lies in the pod: in a process's memory if it has an address there, because
// addresses stay the same from checkpoint to checkpoint; otherwise in its stream.
struct Place {
  uint64_t space = 0;
  uint64_t position = 0;
  auto operator<=>(const Place&) const = default;
};
Place PlaceOf(const std::string& stream, uint64_t offset, uint32_t pid, uint64_t address);

// A block within a blob of the previous part.
struct BlockPlace {
  uint32_t blob = 0;
  uint32_t blob_offset = 0;
};

class ExtentIndex {
 public:
  ExtentIndex() = default;
  // `usable[i]`: whether pack i is there and whole; blobs in the others are not found.
  ExtentIndex(Part previous, const std::vector<bool>& usable);

  const Part& part() const { return part_; }
  std::span<const BlockDigest> BlocksOf(uint32_t blob) const;

  // An index of `newer`, all of whose packs can be used, and of what this has of other places.
  ExtentIndex Below(Part newer) const;

  // A blob of exactly that content.
  std::optional<uint32_t> FindBlob(const Digest& key) const;
  struct Stream {
    uint64_t size_bytes = 0;
    std::vector<ExtentRow> extents;
  };
  // Nothing if there is no stream of that name, or a pack that it needs cannot be used.
  std::optional<Stream> FindStream(const std::string& name) const;
  // For each of `blocks`, which lie one after the other from `place` on: the same block at the same
  // place of the previous checkpoint, if it has not changed.
  std::vector<std::optional<BlockPlace>> FindUnchanged(Place place,
                                                       std::span<const BlockDigest> blocks) const;

 private:
  Part part_;
  std::vector<bool> usable_;  // by pack
  std::vector<uint32_t> first_blocks_;
  std::unordered_map<Digest, uint32_t, DigestHash> blobs_;
  // Extents that can be used, by place.
  std::vector<std::pair<Place, uint32_t>> extents_;
};

}  // namespace holdfast::storage
