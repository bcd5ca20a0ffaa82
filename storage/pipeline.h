// From memory to packs. pod_writer.cc hands it pieces of streams; it answers where they lie.
//
// A piece goes through these steps, all in the thread that brings it, so that its data is read from
// memory once and is then in that core's cache, and so that nothing is ever queued:
//
//   blocks    cut into blocks of 16 KiB; those that are zero are not stored
//   digests   BLAKE3 of each block
//   look-up   of the piece's content among the blobs known: done, if it is there
//   compare   with the blocks at the same place of what is stored already: only changed ones go on
//   compress  zstd, unless that gains too little
//   append    to a pack, through a lane's write buffer, encrypted if the site wants it
//
// The pipeline is as parallel as its callers, up to `threads` in the last three steps, and its
// buffers are bounded by the memory budget (budget.h): more callers wait.
//
// Thread-safe, but for Flush and Compare. The first error is remembered and is every later call's
// answer.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "storage/budget.h"
#include "storage/checkpoint.h"
#include "storage/compared_part.h"
#include "storage/compression.h"
#include "storage/known_blobs.h"
#include "storage/pack_writer.h"
#include "storage/pool.h"

namespace holdfast::storage {

// From how many blobs an extent may be put together. Beyond that it is stored anew as one, because
// reading it would cost more and more.
inline constexpr size_t kMaxBlobsPerExtent = 8;

class Pipeline {
 public:
  // All must outlive this. What becomes known is added to `known`.
  Pipeline(KnownBlobs& known, Packs& packs, const Budget& budget, int compression_level);
  // From now on with this part too, before the others; it must outlive this.
  void Compare(const ComparedPart& part) { compared_.insert(compared_.begin(), &part); }

  // Where `length_bytes` of a piece, from `offset` in it, are found.
  struct Range {
    uint32_t offset = 0;
    uint32_t length_bytes = 0;
    uint32_t blob = 0;  // index of `blobs`
    uint32_t blob_offset = 0;
  };
  struct Stored {
    std::vector<Blob> blobs;
    std::vector<Range> ranges;
  };
  // What no range covers is zero. `data` has at most kExtentBytes; the blocks that `kept` has are
  // there already, in fewer than kMaxBlobsPerExtent blobs, and not looked at.
  Result<Stored> Store(Place place, std::span<const std::byte> data,
                       const ComparedPart::Unchanged& kept = {});
  // Returns when everything that was stored is durable.
  Status Flush();
  // What has been stored is of no use after this: every later call returns the first such error.
  std::unexpected<Error> Fail(Error error);

 private:
  // Blocks of the piece that are not zero, with what is known of them.
  struct Block {
    uint32_t offset = 0;  // in the piece
    uint32_t length_bytes = 0;
    std::optional<ComparedPart::BlockPlace> unchanged;
  };
  struct Piece {
    std::span<const std::byte> data;
    std::vector<Block> blocks;
    std::vector<BlockDigest> digests;  // of `blocks`
  };

  static Piece Split(std::span<const std::byte> data, const ComparedPart::Unchanged& kept);
  Result<Stored> StoreUnlessFailed(Place place, std::span<const std::byte> data,
                                   const ComparedPart::Unchanged& kept);
  // Returns the blobs that unchanged blocks lie in, those of `kept` first.
  std::vector<Blob> FindUnchanged(Place place, const ComparedPart::Unchanged& kept,
                                  Piece& piece) const;
  Result<BlobRow> StoreBlocks(const Piece& piece, std::span<const Block> blocks,
                              std::span<const BlockDigest> digests);
  // `changed`: which blob holds the changed blocks.
  static std::vector<Range> RangesOf(const Piece& piece, uint32_t changed);

  std::vector<const ComparedPart*> compared_;
  KnownBlobs& known_;
  Packs& packs_;
  Pool<PackWriter> lanes_;
  CompressionGauge gauge_;
  Pool<Compressor> compressors_;
  std::atomic<bool> failed_ = false;
  std::mutex error_mutex_;
  std::optional<Error> error_;
};

}  // namespace holdfast::storage
