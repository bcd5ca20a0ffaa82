#include "storage/part_builder.h"

#include <algorithm>

namespace holdfast::storage {
namespace {

void Sort(Shard& shard) {
  std::ranges::sort(shard.extents, {}, [](const ExtentRow& extent) {
    return std::pair(extent.stream, extent.offset);
  });
}

}  // namespace

uint32_t PartBuilder::AddStream(std::string name) {
  const std::lock_guard lock(mutex_);
  streams_.push_back({std::move(name), 0});
  return static_cast<uint32_t>(streams_.size() - 1);
}

std::optional<std::string> PartBuilder::StreamName(uint32_t stream) const {
  const std::lock_guard lock(mutex_);
  if (stream >= streams_.size()) return std::nullopt;
  return streams_[stream].name;
}

void PartBuilder::SetSize(uint32_t stream, uint64_t size_bytes) {
  const std::lock_guard lock(mutex_);
  uint64_t& size = streams_[stream].size_bytes;
  size = std::max(size, size_bytes);
}

void PartBuilder::CountMemory(uint32_t pid, uint64_t size_bytes) {
  const std::lock_guard lock(mutex_);
  memory_[pid] += size_bytes;
}

std::optional<Shard> PartBuilder::Add(std::span<const ExtentRow> extents,
                                      std::span<const Blob> blobs) {
  const std::lock_guard lock(mutex_);
  for (ExtentRow extent : extents) {
    extent.blob = NumberOfBlob(blobs[extent.blob]);
    open_.extents.push_back(extent);
    uint64_t& size = streams_[extent.stream].size_bytes;
    size = std::max(size, extent.offset + extent.length_bytes);
  }
  if (open_.size_bytes() < kShardBytes) return std::nullopt;
  open_blobs_.clear();
  Shard full = std::exchange(open_, {});
  Sort(full);
  return full;
}

Status PartBuilder::AddShard(const Shard& shard, const PackWriter::Location& location,
                             const Digest& digest) {
  const std::lock_guard lock(mutex_);
  HOLDFAST_CHECK(CheckExtents(shard, streams_));
  const auto spans = SpansOf(shard, static_cast<uint32_t>(shards_.size()));
  spans_.insert(spans_.end(), spans.begin(), spans.end());
  shards_.push_back({.pack = NumberOfPack(location.pack),
                     .offset = location.offset,
                     .stored_bytes = location.size_bytes,
                     .digest = digest});
  return {};
}

uint32_t PartBuilder::NumberOfPack(uint32_t pack) {
  const auto [entry, is_new] =
      pack_numbers_.emplace(pack, static_cast<uint32_t>(packs_named_.size()));
  if (is_new) packs_named_.push_back(pack);
  return entry->second;
}

// In the open shard.
uint32_t PartBuilder::NumberOfBlob(const Blob& blob) {
  const auto [entry, is_new] = open_blobs_.emplace(std::pair(blob.row.pack, blob.row.offset),
                                                   static_cast<uint32_t>(open_.blobs.size()));
  if (is_new) {
    open_.blobs.push_back(blob.row);
    open_.blobs.back().pack = NumberOfPack(blob.row.pack);
    open_.blocks.insert(open_.blocks.end(), blob.blocks.begin(), blob.blocks.end());
    if (packs_.IsNew(blob.row.pack)) referred_bytes_ += blob.row.stored_bytes;
  }
  return entry->second;
}

uint64_t PartBuilder::referred_bytes() const {
  const std::lock_guard lock(mutex_);
  return referred_bytes_;
}

std::vector<uint32_t> PartBuilder::Build(Part& part) {
  const std::lock_guard lock(mutex_);
  const auto rows = packs_.rows();
  for (const uint32_t pack : packs_named_) part.packs.push_back(rows[pack]);
  part.streams = std::move(streams_);
  part.shards = std::move(shards_);
  part.spans = std::move(spans_);
  part.rest = std::move(open_);
  Sort(part.rest);
  for (const auto& [pid, size_bytes] : memory_) part.processes.push_back({pid, size_bytes});
  return std::move(packs_named_);
}

}  // namespace holdfast::storage
