#include "storage/shard.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "storage/digest.h"
#include "storage/layout.h"
#include "storage/shard_tables.h"

namespace holdfast::storage {
namespace {

// The start of an encoded shard (docs/formats/part.md); rows of the three tables follow.
struct Head {
  std::array<char, 8> magic;
  uint32_t extents;
  uint32_t blobs;
  uint32_t blocks;
  uint32_t reserved;
};
constexpr std::array<char, 8> kMagic{'H', 'F', 'S', 'H', 'A', 'R', 'D', '1'};

template <typename... Values>
Status Broken(fmt::format_string<Values...> format, Values&&... values) {
  return Fail(Code::kCorrupt,
              "part breaks its format: " + fmt::format(format, std::forward<Values>(values)...));
}

// Memory that lies behind what the span has, in its stream and its process.
bool GoesOn(const SpanRow& span, const ExtentRow& extent) {
  return span.stream == extent.stream && span.pid == extent.pid &&
         (span.address == 0) == (extent.address == 0) &&
         (extent.address == 0 || extent.address >= span.address_end);
}

}  // namespace

BlockDigest BlockDigestOf(std::span<const std::byte> block) {
  const Digest whole = HashOf(block);
  BlockDigest digest;
  std::copy_n(whole.begin(), digest.size(), digest.begin());
  return digest;
}

size_t Shard::size_bytes() const {
  return sizeof(Head) + extents.size() * kRowBytes<ExtentRow> + blobs.size() * kRowBytes<BlobRow> +
         blocks.size() * sizeof(BlockDigest);
}

std::vector<uint32_t> Shard::FirstBlocks() const {
  std::vector<uint32_t> first(blobs.size());
  uint32_t next = 0;
  for (size_t i = 0; i < blobs.size(); ++i) {
    first[i] = next;
    next += blobs[i].blocks();
  }
  return first;
}

std::vector<std::byte> EncodeShard(const Shard& shard) {
  const Head head{kMagic, static_cast<uint32_t>(shard.extents.size()),
                  static_cast<uint32_t>(shard.blobs.size()),
                  static_cast<uint32_t>(shard.blocks.size()), 0};
  std::vector<std::byte> file(shard.size_bytes());
  std::memcpy(file.data(), &head, sizeof head);
  auto rest = std::span(file).subspan(sizeof head);
  PackRows(std::span(shard.extents), rest);
  rest = rest.subspan(shard.extents.size() * kRowBytes<ExtentRow>);
  PackRows(std::span(shard.blobs), rest);
  rest = rest.subspan(shard.blobs.size() * kRowBytes<BlobRow>);
  std::ranges::copy(std::as_bytes(std::span(shard.blocks)), rest.begin());
  return file;
}

Result<Shard> DecodeShard(std::span<const std::byte> file) {
  Head head;
  if (file.size() < sizeof head) return Fail(Code::kCorrupt, "a shard is cut short");
  std::memcpy(&head, file.data(), sizeof head);
  if (head.magic != kMagic)
    return Fail(Code::kUnsupported, "a shard is of another format than this Holdfast reads");
  const auto bytes = [](uint64_t rows, size_t row_bytes) { return rows * row_bytes; };
  if (sizeof head + bytes(head.extents, kRowBytes<ExtentRow>) +
          bytes(head.blobs, kRowBytes<BlobRow>) + bytes(head.blocks, sizeof(BlockDigest)) !=
      file.size())
    return Fail(Code::kCorrupt, "a shard has another size than its rows");
  Shard shard;
  shard.extents.resize(head.extents);
  shard.blobs.resize(head.blobs);
  shard.blocks.resize(head.blocks);
  auto rest = file.subspan(sizeof head);
  UnpackRows(rest, std::span(shard.extents));
  rest = rest.subspan(shard.extents.size() * kRowBytes<ExtentRow>);
  UnpackRows(rest, std::span(shard.blobs));
  rest = rest.subspan(shard.blobs.size() * kRowBytes<BlobRow>);
  std::ranges::copy(rest, std::as_writable_bytes(std::span(shard.blocks)).begin());
  return shard;
}

Status CheckBlobs(const Shard& shard, const std::vector<PackRow>& packs) {
  uint64_t blocks = 0;
  for (size_t i = 0; i < shard.blobs.size(); ++i) {
    const BlobRow& blob = shard.blobs[i];
    if (blob.pack >= packs.size()) return Broken("blob {} lies in no pack", i);
    const PackRow& pack = packs[blob.pack];
    const size_t overhead = pack.key ? kSealBytes : 0;
    if (blob.raw_bytes == 0 || blob.raw_bytes > kExtentBytes || blob.stored_bytes <= overhead ||
        (blob.codec == Codec::kRaw && blob.stored_bytes != blob.raw_bytes + overhead) ||
        (blob.codec == Codec::kZstd && blob.stored_bytes >= blob.raw_bytes + overhead) ||
        (blob.codec != Codec::kRaw && blob.codec != Codec::kZstd))
      return Broken("blob {} has a wrong size or codec", i);
    if (blob.offset > pack.size_bytes || blob.stored_bytes > pack.size_bytes - blob.offset)
      return Broken("blob {} passes the end of its pack", i);
    blocks += blob.blocks();
  }
  if (blocks != shard.blocks.size())
    return Broken("{} block digests for {} blocks", shard.blocks.size(), blocks);
  return {};
}

Status CheckExtents(const Shard& shard, const std::vector<PodReader::Stream>& streams) {
  const ExtentRow* previous = nullptr;
  for (size_t i = 0; i < shard.extents.size(); ++i) {
    const ExtentRow& extent = shard.extents[i];
    if (extent.stream >= streams.size()) return Broken("extent {} is of no stream", i);
    const uint64_t size = streams[extent.stream].size_bytes;
    if (extent.length_bytes == 0 || extent.offset > size ||
        extent.length_bytes > size - extent.offset)
      return Broken("extent {} passes the end of its stream", i);
    if (previous && (extent.stream < previous->stream ||
                     (extent.stream == previous->stream &&
                      extent.offset < previous->offset + previous->length_bytes)))
      return Broken("extent {} is out of order or overlaps", i);
    if (extent.blob >= shard.blobs.size()) return Broken("extent {} has no blob", i);
    const uint32_t raw = shard.blobs[extent.blob].raw_bytes;
    if (extent.blob_offset % kBlockBytes != 0 || extent.blob_offset > raw ||
        extent.length_bytes > raw - extent.blob_offset)
      return Broken("extent {} passes the end of its blob", i);
    previous = &extent;
  }
  return {};
}

std::vector<SpanRow> SpansOf(const Shard& shard, uint32_t number) {
  std::vector<SpanRow> spans;
  for (const ExtentRow& extent : shard.extents) {
    if (spans.empty() || !GoesOn(spans.back(), extent))
      spans.push_back({.shard = number,
                       .stream = extent.stream,
                       .pid = extent.pid,
                       .offset = extent.offset,
                       .address = extent.address});
    spans.back().end = extent.offset + extent.length_bytes;
    spans.back().address_end = extent.address == 0 ? 0 : extent.address + extent.length_bytes;
  }
  return spans;
}

std::span<const BlockDigest> LoadedShard::BlocksOf(uint32_t blob) const {
  return std::span(tables_.blocks).subspan(first_blocks_[blob], tables_.blobs[blob].blocks());
}

std::span<const ExtentRow> LoadedShard::Within(uint32_t stream, uint64_t offset,
                                               uint64_t end) const {
  const auto begin = std::ranges::partition_point(extents(), [&](const ExtentRow& extent) {
    return extent.stream < stream ||
           (extent.stream == stream && extent.offset + extent.length_bytes <= offset);
  });
  const auto behind = std::partition_point(begin, extents().end(), [&](const ExtentRow& extent) {
    return extent.stream == stream && extent.offset < end;
  });
  return {begin, behind};
}

}  // namespace holdfast::storage
