// A pod's part of a checkpoint, in memory and as the HDF5 file parts/CKPT-POD.h5
// (docs/formats/part.md). Written by pod_writer.cc, read by pod_reader.cc, extent_index.cc and
// retention.cc.
//
// How bytes are found: a stream is covered by *extents*; each is a range of a *blob*, which is what
// is stored in one piece in a *pack*; where no extent is, the stream is zero. A blob is made of
// *blocks*, each with its digest. So one changed block of a large extent costs one block.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/checkpoint.h"
#include "storage/cipher.h"

namespace holdfast::storage {

// What is compared and verified; also the alignment of an extent's place in its blob.
// docs/adr/0007-extents-blobs-packs.md has the measurements.
inline constexpr size_t kBlockBytes = 16 * 1024;
inline constexpr size_t kBlocksPerExtent = kExtentBytes / kBlockBytes;

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

struct ProcessRow {
  uint32_t pid = 0;
  uint64_t raw_bytes = 0;  // of memory put for it
};

struct Part {
  uint32_t job_id = 0;
  uint32_t checkpoint = 0;
  PodInfo info;
  std::vector<PodReader::Stream> streams;
  std::vector<ExtentRow> extents;  // by stream and offset, not overlapping
  std::vector<BlobRow> blobs;
  std::vector<BlockDigest> blocks;  // of all blobs, in their order
  std::vector<PackRow> packs;
  std::vector<ProcessRow> processes;
  std::vector<FileRecord> files;
  std::map<std::string, std::string> images;

  // Where each blob's digests begin in `blocks`.
  std::vector<uint32_t> FirstBlocks() const;
  bool encrypted() const { return !packs.empty() && packs.front().key.has_value(); }
};

// Nobody's part is larger: 0.15% of 1 TiB of memory.
inline constexpr uint64_t kMaxPartBytes = 2ULL << 30;

Result<std::vector<std::byte>> EncodePart(const Part& part);
// `file` must have been verified. kCorrupt if it breaks a rule of the format, so that whoever uses
// the part need not check indices, ranges or sizes again.
Result<Part> DecodePart(std::span<const std::byte> file);

}  // namespace holdfast::storage
