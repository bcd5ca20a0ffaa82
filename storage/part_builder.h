// The tables of a part while its pod is being written: those of one shard, which is given away when
// it is full. Thread-safe: pod_writer.cc fills it from every thread that puts data.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "storage/pack_writer.h"
#include "storage/part.h"

namespace holdfast::storage {

// A blob wherever it is, with all that a shard says about it. `row.pack` is a number of Packs.
struct Blob {
  BlobRow row;
  std::vector<BlockDigest> blocks;
};

class PartBuilder {
 public:
  // `packs` must outlive this.
  explicit PartBuilder(const Packs& packs) : packs_(packs) {}

  uint32_t AddStream(std::string name);
  // Nothing if there is no such stream.
  std::optional<std::string> StreamName(uint32_t stream) const;
  void SetSize(uint32_t stream, uint64_t size_bytes);
  void CountMemory(uint32_t pid, uint64_t size_bytes);

  // One piece of a stream, which reaches at least to its end. Each extent's `blob` is an index of
  // `blobs`. A shard that has become full is returned, for AddShard once it is stored.
  std::optional<Shard> Add(std::span<const ExtentRow> extents, std::span<const Blob> blobs);
  // A shard that was returned lies there, encoded. kCorrupt if two pieces in it overlap.
  Status AddShard(const Shard& shard, const PackWriter::Location& location, const Digest& digest);

  // Of blobs in new packs that have been referred to, counted once in each shard.
  uint64_t referred_bytes() const;
  // Fills the tables of `part`. Packs that nothing lies in are left out; which number of Packs each
  // of the others has, is returned. Leaves this empty.
  std::vector<uint32_t> Build(Part& part);

 private:
  uint32_t NumberOfPack(uint32_t pack);
  uint32_t NumberOfBlob(const Blob& blob);

  const Packs& packs_;
  mutable std::mutex mutex_;
  std::vector<PodReader::Stream> streams_;
  std::map<uint32_t, uint64_t> memory_;  // pid -> bytes
  std::vector<uint32_t> packs_named_;    // by number in the part: number of Packs
  std::map<uint32_t, uint32_t> pack_numbers_;
  Shard open_;
  std::map<std::pair<uint32_t, uint64_t>, uint32_t> open_blobs_;  // pack and offset -> number
  std::vector<ShardRow> shards_;
  std::vector<SpanRow> spans_;
  uint64_t referred_bytes_ = 0;
};

}  // namespace holdfast::storage
