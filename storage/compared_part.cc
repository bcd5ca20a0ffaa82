#include "storage/compared_part.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace holdfast::storage {
namespace {

uint64_t PositionOf(const ExtentRow& extent) {
  return extent.address != 0 ? extent.address : extent.offset;
}

// Where the blob is among those, as which it is added if it is new.
std::optional<uint32_t> NumberIn(std::vector<Blob>& blobs, std::optional<Blob> blob) {
  if (!blob) return std::nullopt;
  const auto same = std::ranges::find_if(blobs, [&](const Blob& other) {
    return other.row.pack == blob->row.pack && other.row.offset == blob->row.offset;
  });
  const auto number = static_cast<uint32_t>(same - blobs.begin());
  if (same == blobs.end()) blobs.push_back(*std::move(blob));
  return number;
}

}  // namespace

Place PlaceOf(const std::string& stream, uint64_t offset, uint32_t pid, uint64_t address) {
  if (address != 0) return {pid, address};
  // Apart from all pids; that two streams might share a space only makes a look-up in vain.
  return {std::hash<std::string>()(stream) | 1ULL << 63, offset};
}

ComparedPart::ComparedPart(Backend& backend, Part part, std::vector<std::optional<uint32_t>> packs,
                           size_t kept_shards)
    : stored_(std::make_unique<StoredPart>(backend, std::move(part), kept_shards)),
      packs_(std::move(packs)) {
  spans_.reserve(stored_->spans().size());
  for (const SpanRow& span : stored_->spans()) {
    const std::string& name = stored_->part().streams[span.stream].name;
    spans_.push_back({.begin = PlaceOf(name, span.offset, span.pid, span.address),
                      .end = span.address != 0 ? span.address_end : span.end,
                      .span = &span});
  }
  std::ranges::sort(spans_, {}, &PlacedSpan::begin);
}

StoredPart::ShardPtr ComparedPart::ReadableShard(uint32_t number) const {
  {
    const std::lock_guard lock(mutex_);
    if (unreadable_.contains(number)) return nullptr;
  }
  auto shard = stored_->Shard(number);
  if (shard) return *std::move(shard);
  const std::lock_guard lock(mutex_);
  if (unreadable_.insert(number).second)
    log::Failure("storage.compare", shard.error(), {{"job", stored_->part().job.id}});
  return nullptr;
}

std::optional<Blob> ComparedPart::BlobOf(const LoadedShard& shard, uint32_t number) const {
  Blob blob{.row = shard.blobs()[number], .blocks = {}};
  const auto pack = packs_[blob.row.pack];
  if (!pack) return std::nullopt;
  blob.row.pack = *pack;
  const auto blocks = shard.BlocksOf(number);
  blob.blocks.assign(blocks.begin(), blocks.end());
  return blob;
}

void ComparedPart::ForEachBlob(const std::function<void(const Blob&)>& take) const {
  for (uint32_t number = 0; number < stored_->shards(); ++number) {
    const auto shard = ReadableShard(number);
    if (!shard) continue;
    for (uint32_t i = 0; i < shard->blobs().size(); ++i)
      if (const auto blob = BlobOf(*shard, i)) take(*blob);
  }
}

void ComparedPart::ForEachExtentAt(
    Place place, uint64_t size_bytes,
    const std::function<void(const LoadedShard&, const ExtentRow&)>& take) const {
  const uint64_t end = place.position + size_bytes;
  const auto in_space = std::ranges::equal_range(
      spans_, place.space, {}, [](const PlacedSpan& placed) { return placed.begin.space; });
  for (const PlacedSpan& placed : in_space) {
    if (placed.begin.position >= end) break;
    if (placed.end <= place.position) continue;
    const auto shard = ReadableShard(placed.span->shard);
    if (!shard) continue;
    const auto extents = shard->Within(placed.span->stream, placed.span->offset, placed.span->end);
    auto extent = std::ranges::partition_point(extents, [&](const ExtentRow& row) {
      return PositionOf(row) + row.length_bytes <= place.position;
    });
    for (; extent != extents.end() && PositionOf(*extent) < end; ++extent) take(*shard, *extent);
  }
}

void ComparedPart::FindUnchanged(Place place, std::span<const BlockDigest> digests,
                                 Unchanged& found) const {
  ForEachExtentAt(place, digests.size() * kBlockBytes,
                  [&](const LoadedShard& shard, const ExtentRow& extent) {
                    FindIn(shard, extent, place, digests, found);
                  });
}

ComparedPart::Unchanged ComparedPart::FindKept(Place place, size_t size_bytes,
                                               BlockSet wanted) const {
  Unchanged found;
  found.blocks.resize((size_bytes + kBlockBytes - 1) / kBlockBytes);
  if (wanted.none()) return found;
  ForEachExtentAt(place, size_bytes, [&](const LoadedShard& shard, const ExtentRow& extent) {
    std::optional<uint32_t> number;  // of the extent's blob, in `found`
    const uint64_t blob_bytes = shard.blobs()[extent.blob].raw_bytes;
    for (size_t i = 0; i < found.blocks.size(); ++i) {
      if (!wanted[i] || found.blocks[i]) continue;
      const uint64_t length = std::min<uint64_t>(kBlockBytes, size_bytes - i * kBlockBytes);
      // As in FindIn.
      const uint64_t distance = place.position + i * kBlockBytes - PositionOf(extent);
      if (distance >= extent.length_bytes || distance % kBlockBytes != 0) continue;
      const uint64_t blob_offset = extent.blob_offset + distance;
      if (distance + length > extent.length_bytes ||
          std::min<uint64_t>(kBlockBytes, blob_bytes - blob_offset) != length)
        continue;
      if (!number) number = NumberIn(found.blobs, BlobOf(shard, extent.blob));
      if (!number) return;
      found.blocks[i] = {*number, static_cast<uint32_t>(blob_offset)};
    }
  });
  return found;
}

void ComparedPart::FindIn(const LoadedShard& shard, const ExtentRow& extent, Place place,
                          std::span<const BlockDigest> digests, Unchanged& found) const {
  std::optional<uint32_t> number;  // of the extent's blob, in `found`
  const auto old = shard.BlocksOf(extent.blob);
  for (size_t i = 0; i < digests.size(); ++i) {
    // Beyond the extent's length if it is before its begin.
    const uint64_t distance = place.position + i * kBlockBytes - PositionOf(extent);
    if (found.blocks[i] || distance >= extent.length_bytes || distance % kBlockBytes != 0) continue;
    const uint32_t blob_offset = extent.blob_offset + static_cast<uint32_t>(distance);
    if (old[blob_offset / kBlockBytes] != digests[i]) continue;
    if (!number) number = NumberIn(found.blobs, BlobOf(shard, extent.blob));
    if (!number) return;
    found.blocks[i] = {*number, blob_offset};
  }
}

std::span<const SpanRow> ComparedPart::SpansOf(const std::string& name) const {
  const auto& streams = stored_->part().streams;
  const auto stream = std::ranges::find(streams, name, &PodReader::Stream::name);
  return std::ranges::equal_range(stored_->spans(), static_cast<uint32_t>(stream - streams.begin()),
                                  {}, &SpanRow::stream);
}

std::optional<uint64_t> ComparedPart::FindStream(const std::string& name) const {
  const auto& streams = stored_->part().streams;
  const auto stream = std::ranges::find(streams, name, &PodReader::Stream::name);
  if (stream == streams.end()) return std::nullopt;
  for (const SpanRow& span : SpansOf(name)) {
    const auto shard = ReadableShard(span.shard);
    if (!shard) return std::nullopt;
    for (const ExtentRow& extent : shard->Within(span.stream, span.offset, span.end))
      if (!packs_[shard->blobs()[extent.blob].pack]) return std::nullopt;
  }
  return stream->size_bytes;
}

Status ComparedPart::ForEachExtent(
    const std::string& name,
    const std::function<Status(const ExtentRow&, const Blob&)>& take) const {
  for (const SpanRow& span : SpansOf(name)) {
    HOLDFAST_TRY(const auto shard, stored_->Shard(span.shard));
    for (const ExtentRow& extent : shard->Within(span.stream, span.offset, span.end)) {
      const auto blob = BlobOf(*shard, extent.blob);
      if (!blob) return Fail(Code::kInternal, "stream " + name + ": a pack that cannot be used");
      HOLDFAST_CHECK(take(extent, *blob));
    }
  }
  return {};
}

}  // namespace holdfast::storage
