// Authenticated encryption of what is stored: XChaCha20-Poly1305 (docs/formats/encryption.md,
// docs/adr/0014-encryption-at-rest.md). Used for packs and parts. Thread-safe.
//
// One key must never seal two messages with the same nonce. A pack has a key of its own, and a
// blob's nonce is its offset in the pack, which is written once. A part is sealed with the site's
// key and a random nonce of 192 bits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace holdfast::storage {

using CipherKey = std::array<std::byte, 32>;
using Nonce = std::array<std::byte, 24>;

// How much longer sealing makes data.
inline constexpr size_t kSealBytes = 16;

CipherKey RandomKey();
Nonce RandomNonce();
Nonce NonceOf(uint64_t number);

// `out` is kSealBytes longer than `data`. `about` is authenticated with it: opening wants the same.
void Seal(const CipherKey& key, const Nonce& nonce, std::string_view about,
          std::span<const std::byte> data, std::span<std::byte> out);
// False, with nothing of use in `out`, unless `sealed` is what Seal made with the same key, nonce
// and `about`.
[[nodiscard]] bool Unseal(const CipherKey& key, const Nonce& nonce, std::string_view about,
                          std::span<const std::byte> sealed, std::span<std::byte> out);

}  // namespace holdfast::storage
