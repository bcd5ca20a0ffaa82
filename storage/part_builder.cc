#include "storage/part_builder.h"

#include <algorithm>
#include <tuple>

namespace holdfast::storage {

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

void PartBuilder::AddExtents(std::span<const ExtentRow> extents) {
  const std::lock_guard lock(mutex_);
  extents_.insert(extents_.end(), extents.begin(), extents.end());
}

uint32_t PartBuilder::AddBlob(const BlobRow& row, std::span<const BlockDigest> blocks,
                              const Digest& key) {
  const std::lock_guard lock(mutex_);
  const auto number = static_cast<uint32_t>(blobs_.size());
  blobs_.push_back({row, /*reused=*/false});
  blocks_.insert(blocks_.end(), blocks.begin(), blocks.end());
  added_.emplace(key, number);
  return number;
}

uint32_t PartBuilder::ReuseBlob(uint32_t blob) {
  const std::lock_guard lock(mutex_);
  const auto [entry, is_new] = reused_.emplace(blob, static_cast<uint32_t>(blobs_.size()));
  if (is_new) {
    blobs_.push_back({index_.part().blobs[blob], /*reused=*/true});
    const auto blocks = index_.BlocksOf(blob);
    blocks_.insert(blocks_.end(), blocks.begin(), blocks.end());
  }
  return entry->second;
}

std::optional<uint32_t> PartBuilder::FindBlob(const Digest& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = added_.find(key);
  if (found == added_.end()) return std::nullopt;
  return found->second;
}

void PartBuilder::Build(std::span<const PackRow> new_packs, Part& part) {
  const std::lock_guard lock(mutex_);
  // The index may name packs that are being written, too, whose sizes it does not know.
  std::unordered_map<std::string_view, const PackRow*> by_name;
  for (const PackRow& pack : new_packs) by_name.emplace(pack.name, &pack);
  std::unordered_map<const PackRow*, uint32_t> numbers;
  for (const Blob& blob : blobs_) {
    const PackRow* pack =
        blob.reused ? &index_.part().packs[blob.row.pack] : &new_packs[blob.row.pack];
    if (const auto found = by_name.find(pack->name); found != by_name.end()) pack = found->second;
    const auto [entry, is_new] = numbers.emplace(pack, static_cast<uint32_t>(part.packs.size()));
    if (is_new) part.packs.push_back(*pack);
    part.blobs.push_back(blob.row);
    part.blobs.back().pack = entry->second;
  }
  part.blocks = std::move(blocks_);
  part.streams = std::move(streams_);
  part.extents = std::move(extents_);
  std::ranges::sort(part.extents, {}, [](const ExtentRow& extent) {
    return std::pair(extent.stream, extent.offset);
  });
  for (const auto& [pid, size_bytes] : memory_) part.processes.push_back({pid, size_bytes});
}

}  // namespace holdfast::storage
