#include "storage/pipeline.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <set>

#include "base/parallel.h"
#include "storage/digest.h"

namespace holdfast::storage {
namespace {

// Files that one pod writes at once: enough for a parallel filesystem, few for its metadata server.
constexpr size_t kMaxLanes = 4;

bool IsZero(std::span<const std::byte> data) {
  return data[0] == std::byte{0} && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0;
}

}  // namespace

Pipeline::Pipeline(const ExtentIndex& index, PartBuilder& builder, Packs& packs,
                   const WriteOptions& options)
    : index_(&index), builder_(&builder), packs_(packs) {
  // Half of the budget for each of the two kinds of buffers, but never none.
  const uint64_t half = options.memory_budget_bytes / 2;
  const auto count = [&](uint64_t size_bytes, size_t most) {
    return std::clamp<size_t>(half / size_bytes, 1, std::max<size_t>(most, 1));
  };
  const size_t lanes = count(packs.backend().capabilities().write_bytes,
                             std::min<size_t>(options.threads, kMaxLanes));
  for (size_t i = 0; i < lanes; ++i) lanes_.Add(std::make_unique<PackWriter>(packs));
  const size_t compressors = count(Compressor::kMemoryBytes, options.threads);
  for (size_t i = 0; i < compressors; ++i)
    compressors_.Add(std::make_unique<Compressor>(options.compression_level, gauge_));
}

Result<std::vector<Pipeline::Range>> Pipeline::Store(Place place, std::span<const std::byte> data) {
  if (failed_) {
    const std::lock_guard lock(error_mutex_);
    return std::unexpected(*error_);
  }
  auto stored = StoreUnlessFailed(place, data);
  if (!stored) {
    const std::lock_guard lock(error_mutex_);
    if (!error_) error_ = stored.error();
    failed_ = true;
  }
  return stored;
}

Result<std::vector<Pipeline::Range>> Pipeline::StoreUnlessFailed(Place place,
                                                                 std::span<const std::byte> data) {
  Piece piece = Split(data);
  if (piece.blocks.empty()) return {};
  if (const auto blob = FindBlob(KeyOf(piece.digests))) return RangesOf(piece, *blob);
  FindUnchanged(place, piece);
  HOLDFAST_TRY(const uint32_t blob, StoreChanged(piece));
  return RangesOf(piece, blob);
}

Pipeline::Piece Pipeline::Split(std::span<const std::byte> data) {
  Piece piece{.data = data, .blocks = {}, .digests = {}};
  piece.blocks.reserve(kBlocksPerExtent);
  piece.digests.reserve(kBlocksPerExtent);
  for (size_t offset = 0; offset < data.size(); offset += kBlockBytes) {
    const auto bytes = data.subspan(offset, std::min(kBlockBytes, data.size() - offset));
    if (IsZero(bytes)) continue;
    piece.blocks.push_back(
        {static_cast<uint32_t>(offset), static_cast<uint32_t>(bytes.size()), {}});
    piece.digests.push_back(BlockDigestOf(bytes));
  }
  return piece;
}

std::optional<uint32_t> Pipeline::FindBlob(const Digest& key) {
  if (const auto added = builder_->FindBlob(key)) return added;
  if (const auto old = index_->FindBlob(key)) return builder_->ReuseBlob(*old);
  return std::nullopt;
}

void Pipeline::FindUnchanged(Place place, Piece& piece) const {
  const auto found = index_->FindUnchanged(place, [&] {
    // By position in the piece; a zero block finds nothing, because no block that was stored is
    // zero.
    std::vector<BlockDigest> digests((piece.data.size() + kBlockBytes - 1) / kBlockBytes);
    for (size_t i = 0; i < piece.blocks.size(); ++i)
      digests[piece.blocks[i].offset / kBlockBytes] = piece.digests[i];
    return digests;
  }());
  std::set<uint32_t> blobs;
  size_t unchanged = 0;
  for (const auto& block : found) {
    if (!block) continue;
    ++unchanged;
    blobs.insert(block->blob);
  }
  const bool changed = unchanged < piece.blocks.size();
  if (blobs.size() + (changed ? 1 : 0) > kMaxBlobsPerExtent) return;
  for (Block& block : piece.blocks) block.unchanged = found[block.offset / kBlockBytes];
}

Result<uint32_t> Pipeline::StoreChanged(const Piece& piece) {
  std::vector<Block> changed;
  std::vector<BlockDigest> digests;
  for (size_t i = 0; i < piece.blocks.size(); ++i) {
    if (piece.blocks[i].unchanged) continue;
    changed.push_back(piece.blocks[i]);
    digests.push_back(piece.digests[i]);
  }
  if (changed.empty()) return 0;
  const Digest key = KeyOf(digests);
  if (const auto blob = FindBlob(key)) return *blob;

  const Pool<Compressor>::Lease compressor(compressors_);
  const size_t begin = changed.front().offset;
  const size_t end = changed.back().offset + changed.back().length_bytes;
  const bool contiguous = end - begin <= changed.size() * kBlockBytes;
  const auto raw =
      contiguous ? piece.data.subspan(begin, end - begin) : compressor->Gather(piece.data, changed);
  const auto compressed = compressor->Compress(raw);
  const auto payload = compressed.value_or(raw);
  const auto start = std::chrono::steady_clock::now();
  HOLDFAST_TRY(const PackWriter::Location location,
               Pool<PackWriter>::Lease(lanes_)->Append(payload));
  gauge_.Written(payload.size(), std::chrono::steady_clock::now() - start);
  return builder_->AddBlob(
      {.pack = location.pack,
       .codec = compressed ? Codec::kZstd : Codec::kRaw,
       .offset = location.offset,
       .stored_bytes = location.size_bytes,
       .raw_bytes = static_cast<uint32_t>(raw.size()),
       .digest = compressed && !packs_.encrypted() ? HashOf(payload) : Digest{}},
      digests, key);
}

std::vector<Pipeline::Range> Pipeline::RangesOf(const Piece& piece, uint32_t blob) {
  std::vector<Range> ranges;
  uint32_t next_offset = 0;
  for (const Block& block : piece.blocks) {
    Range range{block.offset, block.length_bytes, blob, next_offset};
    if (block.unchanged) {
      range.blob = builder_->ReuseBlob(block.unchanged->blob);
      range.blob_offset = block.unchanged->blob_offset;
    } else {
      next_offset += block.length_bytes;
    }
    if (!ranges.empty()) {
      Range& last = ranges.back();
      if (last.blob == range.blob && last.offset + last.length_bytes == range.offset &&
          last.blob_offset + last.length_bytes == range.blob_offset) {
        last.length_bytes += range.length_bytes;
        continue;
      }
    }
    ranges.push_back(range);
  }
  return ranges;
}

void Pipeline::Compare(const ExtentIndex& index, PartBuilder& builder) {
  index_ = &index;
  builder_ = &builder;
}

Status Pipeline::Flush() {
  if (failed_) return std::unexpected(*error_);
  // All at the same time: fsync waits for the disk or the server, not for a core.
  const auto& lanes = lanes_.items();
  return ForEachParallel(static_cast<unsigned>(lanes.size()), lanes.size(),
                         [&](size_t i) { return lanes[i]->Finish(); });
}

}  // namespace holdfast::storage
