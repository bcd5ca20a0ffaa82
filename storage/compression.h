// Compression of what the pipeline stores, and whether it is worth its time.
#pragma once

#include <zstd.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "storage/checkpoint.h"

namespace holdfast::storage {

// Tells whether compressing makes a checkpoint faster: it does while writing the bytes that it
// saves would take longer than it takes itself. Thread-safe.
class CompressionGauge {
 public:
  // Now and then true in any case, to measure again.
  bool Worthwhile();
  void Compressed(uint64_t raw_bytes, uint64_t stored_bytes, std::chrono::nanoseconds time);
  void Written(uint64_t size_bytes, std::chrono::nanoseconds time);

 private:
  // Sums in which what happened longer ago counts less.
  struct Rate {
    double bytes = 0;
    double nanoseconds = 0;
    void Add(uint64_t size_bytes, std::chrono::nanoseconds time);
    double PerByte() const { return nanoseconds / bytes; }
  };

  std::mutex mutex_;
  uint64_t asked_ = 0;
  Rate compressing_;
  Rate writing_;
  double saved_ = 0;  // part of the raw bytes that compression saved, lately
};

// A thread's working memory: zstd's context and buffers. Used by one thread at a time.
class Compressor {
 public:
  // What one holds at most, at zstd's usual levels.
  static constexpr size_t kMemoryBytes = 2 << 20;

  // WriteOptions::compression_level; `gauge` is asked if that is kCompressionAuto.
  Compressor(int level, CompressionGauge& gauge);

  // Pieces of `data` one after the other, valid until the next call.
  template <typename Pieces>
  std::span<const std::byte> Gather(std::span<const std::byte> data, const Pieces& pieces) {
    gathered_.clear();
    for (const auto& piece : pieces) {
      const auto bytes = data.subspan(piece.offset, piece.length_bytes);
      gathered_.insert(gathered_.end(), bytes.begin(), bytes.end());
    }
    return gathered_;
  }
  // Nothing if it gains too little; otherwise valid until the next call.
  std::optional<std::span<const std::byte>> Compress(std::span<const std::byte> raw);

 private:
  const int level_;
  CompressionGauge& gauge_;
  const std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context_;
  std::vector<std::byte> gathered_;
  std::vector<std::byte> compressed_;
};

}  // namespace holdfast::storage
