// The tables of a part while its pod is being written. Thread-safe: pipeline.cc and pod_writer.cc
// fill it from every thread that puts data.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "storage/extent_index.h"
#include "storage/part.h"

namespace holdfast::storage {

class PartBuilder {
 public:
  // `index` must outlive this.
  explicit PartBuilder(const ExtentIndex& index) : index_(index) {}

  uint32_t AddStream(std::string name);
  // Nothing if there is no such stream.
  std::optional<std::string> StreamName(uint32_t stream) const;
  void SetSize(uint32_t stream, uint64_t size_bytes);
  void CountMemory(uint32_t pid, uint64_t size_bytes);
  // The stream reaches at least to the end of each extent.
  void AddExtents(std::span<const ExtentRow> extents);

  // Blobs of this part are numbered anew. `row.pack` is an index into the packs being written.
  uint32_t AddBlob(const BlobRow& row, std::span<const BlockDigest> blocks, const Digest& key);
  // The number of a blob of the index.
  uint32_t ReuseBlob(uint32_t blob);
  // One that was added.
  std::optional<uint32_t> FindBlob(const Digest& key) const;

  // Fills the tables of `part`; `new_packs` are those that blobs were added to. Packs that no blob
  // is in are left out. Leaves this empty.
  void Build(std::span<const PackRow> new_packs, Part& part);

 private:
  struct Blob {
    BlobRow row;
    bool reused = false;  // row.pack is an index into the previous part's packs
  };

  const ExtentIndex& index_;
  mutable std::mutex mutex_;
  std::vector<PodReader::Stream> streams_;
  std::vector<ExtentRow> extents_;
  std::vector<Blob> blobs_;
  std::vector<BlockDigest> blocks_;
  std::unordered_map<Digest, uint32_t, DigestHash> added_;
  std::unordered_map<uint32_t, uint32_t> reused_;  // number in the index -> number here
  std::map<uint32_t, uint64_t> memory_;            // pid -> bytes
};

}  // namespace holdfast::storage
