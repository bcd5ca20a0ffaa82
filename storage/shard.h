// What a part says about where bytes are, in pieces of bounded size: its shards. A pod's tables
// grow with its memory, a shard does not, so nobody who writes or reads a part holds more than a
// few.
//
// How bytes are found: a stream is covered by *extents*; each is a range of a *blob*, which is what
// is stored in one piece in a *pack*; where no extent is, the stream is zero. A blob is made of
// *blocks*, each with its digest. So one changed block of a large extent costs one block.
//
// A shard refers to streams and packs of its part and to nothing else: one that is read alone can
// be used alone. A blob that extents of two shards refer to is in both.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/checkpoint.h"
#include "storage/cipher.h"

namespace holdfast::storage {

// The first half of a block's BLAKE3: 128 bits, against second preimages and chance. Collisions
// that a user could search for would be between two blocks of their own memory.
using BlockDigest = std::array<std::byte, 16>;
BlockDigest BlockDigestOf(std::span<const std::byte> block);

// Persisted: do not change.
enum class Codec : uint8_t { kRaw = 0, kZstd = 1 };

struct PackRow {
  std::string name;
  uint64_t size_bytes = 0;
  // Every blob in it is sealed with this key, its offset in the pack being the nonce. A part has
  // keys for all of its packs, or for none.
  std::optional<CipherKey> key = std::nullopt;
};

struct BlobRow {
  uint32_t pack = 0;  // index of the pack
  Codec codec = Codec::kRaw;
  uint64_t offset = 0;  // in the pack
  uint32_t stored_bytes = 0;
  uint32_t raw_bytes = 0;
  // Of the stored bytes if they are compressed, so that no decompressor sees unverified input;
  // zeros if they are raw, because then the blocks' digests do it, or sealed.
  Digest digest{};

  uint32_t blocks() const { return (raw_bytes + kBlockBytes - 1) / kBlockBytes; }
};

struct ExtentRow {
  uint32_t stream = 0;
  uint32_t pid = 0;
  uint64_t offset = 0;   // in the stream
  uint64_t address = 0;  // in the process's memory, or 0
  uint32_t length_bytes = 0;
  uint32_t blob = 0;         // index of the blob
  uint32_t blob_offset = 0;  // of the extent in the blob's raw bytes
};

struct Shard {
  std::vector<ExtentRow> extents;  // by stream and offset, not overlapping
  std::vector<BlobRow> blobs;
  std::vector<BlockDigest> blocks;  // of all blobs, in their order

  // Encoded.
  size_t size_bytes() const;
  // Where each blob's digests begin in `blocks`.
  std::vector<uint32_t> FirstBlocks() const;
};

// A shard is closed when it has reached this size: that of 380 MiB of memory, all different. One
// piece of a stream may carry it beyond.
inline constexpr size_t kShardBytes = 512 << 10;
inline constexpr size_t kMaxShardBytes = kShardBytes + (64 << 10);

std::vector<std::byte> EncodeShard(const Shard& shard);
// `file` must have been verified. Whether its rows make sense, CheckExtents and CheckBlobs tell.
Result<Shard> DecodeShard(std::span<const std::byte> file);

// The rules of docs/formats/part.md; kCorrupt if one is broken. Whoever uses a shard for which they
// hold need not check indices, ranges or sizes again.
Status CheckExtents(const Shard& shard, const std::vector<PodReader::Stream>& streams);
Status CheckBlobs(const Shard& shard, const std::vector<PackRow>& packs);

// What a shard has of a stream: where it may be looked for. Addresses ascend with offsets.
struct SpanRow {
  uint32_t shard = 0;  // index of the shard
  uint32_t stream = 0;
  uint32_t pid = 0;
  uint64_t offset = 0;  // of the first extent, in the stream
  uint64_t end = 0;     // of the last one
  uint64_t address = 0;
  uint64_t address_end = 0;
};
std::vector<SpanRow> SpansOf(const Shard& shard, uint32_t number);

// A shard to look things up in. Thread-safe, as it never changes.
class LoadedShard {
 public:
  explicit LoadedShard(Shard tables)
      : tables_(std::move(tables)), first_blocks_(tables_.FirstBlocks()) {}

  const std::vector<ExtentRow>& extents() const { return tables_.extents; }
  const std::vector<BlobRow>& blobs() const { return tables_.blobs; }
  std::span<const BlockDigest> BlocksOf(uint32_t blob) const;
  // Extents of the stream that lie in [offset, end) or reach into it.
  std::span<const ExtentRow> Within(uint32_t stream, uint64_t offset, uint64_t end) const;

 private:
  Shard tables_;
  std::vector<uint32_t> first_blocks_;
};

}  // namespace holdfast::storage
