#include "storage/pipeline.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/parallel.h"
#include "storage/digest.h"

namespace holdfast::storage {
namespace {

bool IsZero(std::span<const std::byte> data) {
  return data[0] == std::byte{0} && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0;
}

}  // namespace

Pipeline::Pipeline(KnownBlobs& known, Packs& packs, const Budget& budget, int compression_level)
    : known_(known), packs_(packs) {
  for (size_t i = 0; i < budget.lanes; ++i)
    lanes_.Add(std::make_unique<PackWriter>(packs, packs.backend().capabilities().write_bytes));
  for (size_t i = 0; i < budget.compressors; ++i)
    compressors_.Add(std::make_unique<Compressor>(compression_level, gauge_));
}

Result<Pipeline::Stored> Pipeline::Store(Place place, std::span<const std::byte> data,
                                         const ComparedPart::Unchanged& kept) {
  if (failed_) {
    const std::lock_guard lock(error_mutex_);
    return std::unexpected(*error_);
  }
  auto stored = StoreUnlessFailed(place, data, kept);
  if (!stored) return Fail(std::move(stored).error());
  return stored;
}

std::unexpected<Error> Pipeline::Fail(Error error) {
  const std::lock_guard lock(error_mutex_);
  if (!error_) error_ = error;
  failed_ = true;
  return std::unexpected(std::move(error));
}

Result<Pipeline::Stored> Pipeline::StoreUnlessFailed(Place place, std::span<const std::byte> data,
                                                     const ComparedPart::Unchanged& kept) {
  Piece piece = Split(data, kept);
  if (piece.blocks.empty()) return Stored{};
  if (const auto known = known_.Find(KeyOf(piece.digests))) {
    // All of it is there in one blob, be some of it in others too.
    for (Block& block : piece.blocks) block.unchanged.reset();
    return Stored{.blobs = {{*known, piece.digests}}, .ranges = RangesOf(piece, 0)};
  }
  Stored stored{.blobs = FindUnchanged(place, kept, piece), .ranges = {}};
  std::vector<Block> changed;
  std::vector<BlockDigest> digests;
  for (size_t i = 0; i < piece.blocks.size(); ++i) {
    if (piece.blocks[i].unchanged) continue;
    changed.push_back(piece.blocks[i]);
    digests.push_back(piece.digests[i]);
  }
  stored.ranges = RangesOf(piece, static_cast<uint32_t>(stored.blobs.size()));
  if (!changed.empty()) {
    HOLDFAST_TRY(const BlobRow row, StoreBlocks(piece, changed, digests));
    stored.blobs.push_back({row, std::move(digests)});
  }
  return stored;
}

Pipeline::Piece Pipeline::Split(std::span<const std::byte> data,
                                const ComparedPart::Unchanged& kept) {
  Piece piece{.data = data, .blocks = {}, .digests = {}};
  piece.blocks.reserve(kBlocksPerExtent);
  piece.digests.reserve(kBlocksPerExtent);
  for (size_t offset = 0; offset < data.size(); offset += kBlockBytes) {
    const auto bytes = data.subspan(offset, std::min(kBlockBytes, data.size() - offset));
    const size_t i = offset / kBlockBytes;
    const auto place = kept.blocks.empty() ? std::nullopt : kept.blocks[i];
    if (!place && IsZero(bytes)) continue;
    piece.blocks.push_back(
        {static_cast<uint32_t>(offset), static_cast<uint32_t>(bytes.size()), place});
    piece.digests.push_back(place ? ComparedPart::DigestAt(kept, *place) : BlockDigestOf(bytes));
  }
  return piece;
}

std::vector<Blob> Pipeline::FindUnchanged(Place place, const ComparedPart::Unchanged& kept,
                                          Piece& piece) const {
  // By position in the piece; a zero block finds nothing, because no block that was stored is zero.
  std::vector<BlockDigest> digests((piece.data.size() + kBlockBytes - 1) / kBlockBytes);
  for (size_t i = 0; i < piece.blocks.size(); ++i)
    digests[piece.blocks[i].offset / kBlockBytes] = piece.digests[i];
  ComparedPart::Unchanged found = kept;
  found.blocks.resize(digests.size());
  const auto missing = [&] {
    return std::ranges::any_of(piece.blocks, [&](const Block& block) {
      return !found.blocks[block.offset / kBlockBytes];
    });
  };
  for (const ComparedPart* part : compared_)
    if (missing()) part->FindUnchanged(place, digests, found);
  if (found.blobs.size() + (missing() ? 1 : 0) > kMaxBlobsPerExtent) return kept.blobs;
  for (Block& block : piece.blocks) block.unchanged = found.blocks[block.offset / kBlockBytes];
  return std::move(found.blobs);
}

Result<BlobRow> Pipeline::StoreBlocks(const Piece& piece, std::span<const Block> blocks,
                                      std::span<const BlockDigest> digests) {
  const ContentKey key = KeyOf(digests);
  if (const auto known = known_.Find(key)) return *known;
  const Pool<Compressor>::Lease compressor(compressors_);
  const size_t begin = blocks.front().offset;
  const size_t end = blocks.back().offset + blocks.back().length_bytes;
  const bool contiguous = end - begin <= blocks.size() * kBlockBytes;
  const auto raw =
      contiguous ? piece.data.subspan(begin, end - begin) : compressor->Gather(piece.data, blocks);
  const auto compressed = compressor->Compress(raw);
  const auto payload = compressed.value_or(raw);
  const auto start = std::chrono::steady_clock::now();
  HOLDFAST_TRY(const PackWriter::Location location,
               Pool<PackWriter>::Lease(lanes_)->Append(payload));
  gauge_.Written(payload.size(), std::chrono::steady_clock::now() - start);
  const BlobRow row{.pack = location.pack,
                    .codec = compressed ? Codec::kZstd : Codec::kRaw,
                    .offset = location.offset,
                    .stored_bytes = location.size_bytes,
                    .raw_bytes = static_cast<uint32_t>(raw.size()),
                    .digest = compressed && !packs_.encrypted() ? HashOf(payload) : Digest{}};
  known_.Add(key, row);
  return row;
}

std::vector<Pipeline::Range> Pipeline::RangesOf(const Piece& piece, uint32_t changed) {
  std::vector<Range> ranges;
  uint32_t next_offset = 0;
  for (const Block& block : piece.blocks) {
    Range range{block.offset, block.length_bytes, changed, next_offset};
    if (block.unchanged) {
      range.blob = block.unchanged->blob;
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

Status Pipeline::Flush() {
  if (failed_) return std::unexpected(*error_);
  // All at the same time: fsync waits for the disk or the server, not for a core.
  const auto& lanes = lanes_.items();
  Status flushed = ForEachParallel(static_cast<unsigned>(lanes.size()), lanes.size(),
                                   [&](size_t i) { return lanes[i]->Finish(); });
  if (!flushed) return Fail(std::move(flushed).error());
  return {};
}

}  // namespace holdfast::storage
