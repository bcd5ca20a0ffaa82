#include "storage/digest.h"

#include <blake3.h>
#include <sodium.h>

namespace holdfast::storage {
namespace {

static_assert(sizeof(Digest) == BLAKE3_OUT_LEN && sizeof(SiteKey) == BLAKE3_KEY_LEN);

uint8_t* Raw(Digest& digest) { return reinterpret_cast<uint8_t*>(digest.data()); }

}  // namespace

Digest HashOf(std::span<const std::byte> data) {
  blake3_hasher hasher;
  blake3_hasher_init(&hasher);
  blake3_hasher_update(&hasher, data.data(), data.size());
  Digest digest;
  blake3_hasher_finalize(&hasher, Raw(digest), digest.size());
  return digest;
}

Digest MacOf(const SiteKey& key, std::string_view purpose,
             std::span<const std::span<const std::byte>> data) {
  Digest derived;
  blake3_hasher hasher;
  blake3_hasher_init_derive_key_raw(&hasher, purpose.data(), purpose.size());
  blake3_hasher_update(&hasher, key.bytes.data(), key.bytes.size());
  blake3_hasher_finalize(&hasher, Raw(derived), derived.size());

  blake3_hasher_init_keyed(&hasher, Raw(derived));
  for (const auto& span : data) blake3_hasher_update(&hasher, span.data(), span.size());
  Digest mac;
  blake3_hasher_finalize(&hasher, Raw(mac), mac.size());
  sodium_memzero(derived.data(), derived.size());
  sodium_memzero(&hasher, sizeof hasher);
  return mac;
}

bool SameMac(const Digest& a, const Digest& b) {
  return sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string ToHex(std::span<const std::byte> data) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(data.size() * 2);
  for (const std::byte value : data) {
    hex += kDigits[std::to_integer<unsigned>(value) >> 4];
    hex += kDigits[std::to_integer<unsigned>(value) & 15];
  }
  return hex;
}

}  // namespace holdfast::storage
