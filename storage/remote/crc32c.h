// CRC-32C (Castagnoli), the checksum that object stores keep. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace holdfast::storage::remote {

// The checksum of what `crc` was of (0: nothing) followed by data.
uint32_t ExtendCrc32c(uint32_t crc, std::span<const std::byte> data);
inline uint32_t Crc32c(std::span<const std::byte> data) { return ExtendCrc32c(0, data); }
// The same without the processor's instruction, for machines that have none.
uint32_t ExtendCrc32cPortable(uint32_t crc, std::span<const std::byte> data);

// The checksum of two pieces put together, from theirs and the second one's length.
uint32_t CombineCrc32c(uint32_t first, uint32_t second, uint64_t second_bytes);

struct Piece {
  uint32_t crc = 0;
  uint64_t size_bytes = 0;
};
// The checksum of all pieces put together.
uint32_t CombineCrc32c(std::span<const Piece> pieces);

// As object stores write it: base64 of the four bytes, most significant first.
std::string Crc32cToText(uint32_t crc);

}  // namespace holdfast::storage::remote
