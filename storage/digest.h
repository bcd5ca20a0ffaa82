// BLAKE3 as storage uses it. Thread-safe.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "storage/checkpoint.h"

namespace holdfast::storage {

Digest HashOf(std::span<const std::byte> data);
// Keyed BLAKE3 of several spans as if they were one. `purpose` separates keys: the site key itself
// never keys a hash.
Digest MacOf(const SiteKey& key, std::string_view purpose,
             std::span<const std::span<const std::byte>> data);
// In constant time.
bool SameMac(const Digest& a, const Digest& b);
std::string ToHex(std::span<const std::byte> data);

}  // namespace holdfast::storage
