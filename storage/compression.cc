#include "storage/compression.h"

namespace holdfast::storage {
namespace {

// Compressed data is kept if it is smaller by this part of the raw size; less is not worth the time
// that decompression takes at restore.
constexpr size_t kLeastGain = 8;
// The level that kCompressionAuto uses while it compresses.
constexpr int kAutoLevel = 1;
// One piece in this many is compressed even if that has not been worthwhile lately.
constexpr uint64_t kProbeEvery = 32;
// How many bytes a gauge remembers.
constexpr double kMemoryBytes = 64 << 20;

}  // namespace

void CompressionGauge::Rate::Add(uint64_t size_bytes, std::chrono::nanoseconds time) {
  const double kept = bytes < kMemoryBytes ? 1.0 : 0.5;
  bytes = bytes * kept + static_cast<double>(size_bytes);
  nanoseconds = nanoseconds * kept + static_cast<double>(time.count());
}

bool CompressionGauge::Worthwhile() {
  const std::lock_guard lock(mutex_);
  if (asked_++ % kProbeEvery == 0 || compressing_.bytes == 0 || writing_.bytes == 0) return true;
  return saved_ * writing_.PerByte() > compressing_.PerByte();
}

void CompressionGauge::Compressed(uint64_t raw_bytes, uint64_t stored_bytes,
                                  std::chrono::nanoseconds time) {
  const std::lock_guard lock(mutex_);
  const double saved = 1.0 - static_cast<double>(stored_bytes) / static_cast<double>(raw_bytes);
  saved_ = compressing_.bytes == 0 ? saved : saved_ + (saved - saved_) / 8;
  compressing_.Add(raw_bytes, time);
}

void CompressionGauge::Written(uint64_t size_bytes, std::chrono::nanoseconds time) {
  const std::lock_guard lock(mutex_);
  writing_.Add(size_bytes, time);
}

Compressor::Compressor(int level, CompressionGauge& gauge)
    : level_(level),
      gauge_(gauge),
      context_(level == 0 ? nullptr : ZSTD_createCCtx(), ZSTD_freeCCtx) {}

std::optional<std::span<const std::byte>> Compressor::Compress(std::span<const std::byte> raw) {
  const size_t limit = raw.size() - raw.size() / kLeastGain;
  const bool automatic = level_ == kCompressionAuto;
  if (!context_ || limit == raw.size() || (automatic && !gauge_.Worthwhile())) return std::nullopt;
  compressed_.resize(kExtentBytes);
  const auto start = std::chrono::steady_clock::now();
  // zstd gives up by itself as soon as the output would pass the limit.
  const size_t size = ZSTD_compressCCtx(context_.get(), compressed_.data(), limit, raw.data(),
                                        raw.size(), automatic ? kAutoLevel : level_);
  const bool smaller = !ZSTD_isError(size);
  if (automatic)
    gauge_.Compressed(raw.size(), smaller ? size : raw.size(),
                      std::chrono::steady_clock::now() - start);
  if (!smaller) return std::nullopt;
  return std::span(compressed_).first(size);
}

}  // namespace holdfast::storage
