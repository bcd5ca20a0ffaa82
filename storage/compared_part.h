// A part of the pod that is stored already, and that what is put now is compared with: the newest
// checkpoint's, or what was stored ahead of this one. Used by pipeline.cc and pod_writer.cc.
// Thread-safe.
//
// A shard that cannot be read is reported once, and nothing in it is found: it is stored again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "storage/part_builder.h"
#include "storage/stored_part.h"

namespace holdfast::storage {

// Where a piece of data lies in the pod: in a process's memory if it has an address there, because
// addresses stay the same from checkpoint to checkpoint; otherwise in its stream.
struct Place {
  uint64_t space = 0;
  uint64_t position = 0;
  auto operator<=>(const Place&) const = default;
};
Place PlaceOf(const std::string& stream, uint64_t offset, uint32_t pid, uint64_t address);

class ComparedPart {
 public:
  // `packs`: which number of Packs each of the part's packs has; nothing for one that cannot be
  // used. `backend` must outlive this, which keeps at most so many shards.
  ComparedPart(Backend& backend, Part part, std::vector<std::optional<uint32_t>> packs,
               size_t kept_shards);

  // Blobs that can be used, in each shard that refers to them.
  void ForEachBlob(const std::function<void(const Blob&)>& take) const;

  struct BlockPlace {
    uint32_t blob = 0;  // index of `blobs`
    uint32_t blob_offset = 0;
  };
  struct Unchanged {
    std::vector<Blob> blobs;
    std::vector<std::optional<BlockPlace>> blocks;  // one for each digest
  };
  static const BlockDigest& DigestAt(const Unchanged& found, const BlockPlace& place) {
    return found.blobs[place.blob].blocks[place.blob_offset / kBlockBytes];
  }
  // For each of `digests`, which are of blocks that lie one after the other from `place` on, and
  // that `found` has not yet: the same block at the same place of the part.
  void FindUnchanged(Place place, std::span<const BlockDigest> digests, Unchanged& found) const;

  // For each block in `wanted`, of a piece of `size_bytes` from `place` on: what is at that place
  // of the part, if that is a block of the same length.
  Unchanged FindKept(Place place, size_t size_bytes, BlockSet wanted) const;

  // The length of a stream; nothing if there is none of that name, or not all of it can be used.
  std::optional<uint64_t> FindStream(const std::string& name) const;
  // The extents of a stream that was found.
  Status ForEachExtent(const std::string& name,
                       const std::function<Status(const ExtentRow&, const Blob&)>& take) const;

 private:
  struct PlacedSpan {
    Place begin;
    uint64_t end = 0;  // position
    const SpanRow* span = nullptr;
  };

  // Those that lie in [place, place + size_bytes) or reach into it.
  void ForEachExtentAt(Place place, uint64_t size_bytes,
                       const std::function<void(const LoadedShard&, const ExtentRow&)>& take) const;
  StoredPart::ShardPtr ReadableShard(uint32_t number) const;
  // Nothing if its pack cannot be used.
  std::optional<Blob> BlobOf(const LoadedShard& shard, uint32_t number) const;
  std::span<const SpanRow> SpansOf(const std::string& name) const;
  void FindIn(const LoadedShard& shard, const ExtentRow& extent, Place place,
              std::span<const BlockDigest> digests, Unchanged& found) const;

  const std::unique_ptr<StoredPart> stored_;
  const std::vector<std::optional<uint32_t>> packs_;
  std::vector<PlacedSpan> spans_;  // by where they begin
  mutable std::mutex mutex_;
  mutable std::set<uint32_t> unreadable_;
};

}  // namespace holdfast::storage
