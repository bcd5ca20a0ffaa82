// A part of an encrypted checkpoint: the part file, which holds the keys of its packs, sealed with
// a key of the site (docs/formats/encryption.md). Only the names and sizes of packs stay readable,
// so that what is no longer needed can be removed without a key. Used by commit.cc and
// pod_writer.cc.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "storage/keys.h"
#include "storage/part.h"

namespace holdfast::storage {

// `file` is the part, encoded.
Result<std::vector<std::byte>> SealPart(const Part& part, std::span<const std::byte> file,
                                        const SiteKey& key);

// What can be read without a key.
struct SealedPart {
  JobName job;
  uint32_t checkpoint = 0;
  uint32_t pod = 0;
  std::string key_name;
  std::vector<PackRow> packs;
  std::vector<std::byte> nonce;
  std::vector<std::byte> sealed;
};
// Nothing if it is a part that is not sealed. `file` must have been verified.
Result<std::optional<SealedPart>> ReadSealedPart(std::span<const std::byte> file);
// The part file. kDenied if none of the keys is the one it was sealed with, naming both; kCorrupt
// if it is another part than it says.
Result<std::vector<std::byte>> UnsealPart(const SealedPart& part, const EncryptionKeys& keys);

// Names a key without telling anything of it.
std::string NameOf(const SiteKey& key);

}  // namespace holdfast::storage
